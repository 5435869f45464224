//! Query parameters: known, possible, and each once unless it may repeat (clause `API-11`).

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use jobhook_protocol::Code;

use super::fields::{nearest, shortened};
use super::refusal::{Answered, Refused};

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query of `uri`, which may have the parameters `known` and no others.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Answered<Parameters> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| invalid(&error.to_string()))?;
        for (name, _) in &pairs {
            if !known.contains(&name.as_str()) {
                let hint = nearest(name, known);
                let name = shortened(name);
                return Err(invalid(&format!(
                    "there is no parameter `{name}` here{hint}"
                )));
            }
        }
        Ok(Parameters(pairs))
    }

    /// Every value of `name`; one value may be several, parted by commas.
    pub(super) fn listed<T>(&self, name: &str, expected: &str) -> Answered<Vec<T>>
    where
        T: FromStr,
    {
        self.values(name)
            .flat_map(|value| value.split(','))
            .map(|value| value.parse().map_err(|_| impossible(name, value, expected)))
            .collect()
    }

    /// The value of `name`, if it is there.
    pub(super) fn one<T: FromStr>(&self, name: &str, expected: &str) -> Answered<Option<T>> {
        let mut values = self.values(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(invalid(&format!("the parameter `{name}` was given twice")));
        }
        let parsed = value.parse();
        parsed
            .map(Some)
            .map_err(|_| impossible(name, value, expected))
    }

    /// A number from 1 to `most`, or `usual`.
    pub(super) fn limit(&self, usual: usize, most: usize) -> Answered<usize> {
        let expected = format!("a whole number from 1 to {most}");
        match self.one("limit", &expected)? {
            None => Ok(usual),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(limit) => Err(impossible("limit", limit, &expected)),
        }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(super) fn impossible(name: &str, value: impl Display, expected: &str) -> Refused {
    let value = value.to_string();
    let value = shortened(&value);
    invalid(&format!(
        "`{name}` cannot be `{value}`: it must be {expected}"
    ))
}

fn invalid(detail: &str) -> Refused {
    Refused::new(Code::InvalidParameter, detail)
}
