//! Who is let in, and for what.

use serde_json::{Value, json};

use super::resource::Resource;
use super::status::Status;
use super::target::Target;

/// The name of whoever holds the token.
const USER: &str = "system:serviceaccount:default:jobhook";

/// One token, another while it is renewed, and what they may not do.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// The one that is good now.
    pub(crate) token: String,
    /// The one that takes its place once it is shown.
    pub(crate) next: Option<String>,
    /// The one whose place was taken: it is good until its time is over.
    before: Option<String>,
    denied: Vec<(String, String)>,
}

impl Access {
    /// Forbids `verb` on a resource, such as `pods/log`, in every namespace.
    pub(crate) fn deny(&mut self, verb: &str, resource: &str) {
        self.denied.push((verb.into(), resource.into()));
    }

    pub(crate) fn allow_all(&mut self) {
        self.denied.clear();
    }

    pub(crate) fn authenticate(&mut self, header: Option<&str>) -> Result<(), Status> {
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        if token.is_some() && token == self.next.as_deref() {
            let renewed = self.next.take().unwrap_or_default();
            self.before = Some(std::mem::replace(&mut self.token, renewed));
        }
        match token {
            Some(token) if token == self.token => Ok(()),
            // A request may still be on its way with it.
            Some(token) if Some(token) == self.before.as_deref() => Ok(()),
            _ => Err(Status::unauthorized()),
        }
    }

    /// Only this token is good from now on.
    pub(crate) fn accept(&mut self, token: &str) {
        token.clone_into(&mut self.token);
        self.before = None;
    }

    fn denies(&self, verb: &str, resource: &str) -> bool {
        self.denied
            .iter()
            .any(|(denied, of)| denied == verb && of == resource)
    }

    pub(crate) fn authorize(&self, target: &Target) -> Result<(), Status> {
        let resource = target.role_resource();
        if !self.denies(target.verb, &resource) {
            return Ok(());
        }
        let place = match target.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let why = format!(
            "User \"{USER}\" cannot {} resource \"{resource}\" in API group \"{}\" {place}",
            target.verb, target.resource.group
        );
        let name = target.name.as_deref().unwrap_or_default();
        Err(Status::forbidden(target.resource, name, &why))
    }

    /// Answers a `SelfSubjectAccessReview`.
    pub(crate) fn review(&self, mut review: Value, resource: &Resource) -> Value {
        let asked = &review["spec"]["resourceAttributes"];
        let text = |field: &str| asked[field].as_str().unwrap_or_default();
        let what = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        let allowed = !self.denies(text("verb"), &what);
        review["apiVersion"] = resource.api_version().into();
        review["kind"] = resource.kind.into();
        review["status"] = json!({"allowed": allowed});
        review
    }
}
