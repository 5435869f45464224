//! What a request is about, by its method and path.

use hyper::Method;

use super::resource::{ALL, Resource};

/// An object or a collection, and what is to be done with it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As roles name it: `get`, `list`, `watch`, `create`, `deletecollection`, …
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static Resource,
    /// Empty for what has none, or for all of them.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// `None` if there is nothing at this path.
    pub(crate) fn of(method: &Method, path: &str, watches: bool) -> Option<Target> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..]
                if !rest.is_empty() && !matches!(rest, ["status" | "finalize"]) =>
            {
                (*namespace, rest)
            }
            rest => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let resource = ALL.into_iter().find(|resource| {
            (resource.group, resource.version, resource.plural) == (group, version, plural)
        })?;
        // An object of a namespace is addressed inside it; a cluster's own is not.
        if resource.namespaced == namespace.is_empty() && (name.is_some() || !resource.namespaced) {
            return None;
        }
        let verb = match (method, name) {
            (&Method::GET, Some(_)) => "get",
            (&Method::GET, None) if watches => "watch",
            (&Method::GET, None) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, Some(_)) => "update",
            (&Method::PATCH, Some(_)) => "patch",
            (&Method::DELETE, Some(_)) => "delete",
            (&Method::DELETE, None) => "deletecollection",
            _ => return None,
        };
        Some(Target {
            verb,
            resource,
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }

    /// As roles name the resource: `pods`, `pods/log`.
    pub(crate) fn role_resource(&self) -> String {
        match &self.subresource {
            None => self.resource.plural.to_owned(),
            Some(subresource) => format!("{}/{subresource}", self.resource.plural),
        }
    }
}
