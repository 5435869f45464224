//! What a test has go wrong with the next requests.

use std::time::Duration;

use super::status::Status;
use super::target::Target;

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is refused with this status.
    Refuse(Status),
    /// It is answered so much later.
    Slow(Duration),
    /// It is not looked at, and the connection ends without an answer.
    CutBefore,
    /// It is done, and the connection ends without an answer.
    CutAfter,
    /// It is done, and the connection ends in the body of the answer, after so many bytes.
    CutBody(usize),
    /// It is done, and after so many bytes of the answer nothing more comes, nor its end.
    Silence(usize),
}

#[derive(Debug)]
struct Planned {
    verb: String,
    resource: String,
    times: usize,
    fault: Fault,
}

/// What is planned.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Planned>);

impl Fault {
    /// Too many requests: in so many seconds there may be less.
    pub(crate) fn too_many(retry_after: u64) -> Fault {
        Fault::Refuse(Status::too_many_requests(retry_after))
    }

    /// 500.
    pub(crate) fn internal() -> Fault {
        Fault::Refuse(Status::internal("etcdserver: leader changed"))
    }

    /// 503.
    pub(crate) fn unavailable() -> Fault {
        Fault::Refuse(Status::unavailable())
    }

    /// 409, the kind that may be gone next time.
    pub(crate) fn conflict(resource: &str, name: &str) -> Fault {
        let resource = super::resource::named(resource);
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Fault::Refuse(Status::conflict(resource, name, why))
    }

    /// 403 by a `ResourceQuota`.
    pub(crate) fn quota(resource: &str, name: &str) -> Fault {
        let resource = super::resource::named(resource);
        let count = format!("count/{}", resource.qualified());
        let why = format!(
            "exceeded quota: small, requested: {count}=1, used: {count}=2, limited: {count}=2"
        );
        Fault::Refuse(Status::forbidden(resource, name, &why))
    }

    /// 422, as an admission webhook or the validation says it.
    pub(crate) fn invalid(message: &str) -> Fault {
        Fault::Refuse(Status::new(422, "Invalid", message))
    }
}

impl Faults {
    /// Has the next `times` requests of this verb on this resource (`*`: any) go wrong.
    pub(crate) fn plan(&mut self, verb: &str, resource: &str, times: usize, fault: Fault) {
        self.0.push(Planned {
            verb: verb.into(),
            resource: resource.into(),
            times,
            fault,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this request.
    pub(crate) fn take(&mut self, target: &Target) -> Option<Fault> {
        let is = |planned: &str, said: &str| planned == "*" || planned == said;
        let resource = target.role_resource();
        let found = self.0.iter_mut().find(|planned| {
            planned.times > 0 && is(&planned.verb, target.verb) && is(&planned.resource, &resource)
        })?;
        found.times -= 1;
        Some(found.fault.clone())
    }
}
