//! What a job says, put together before it is sent.
//!
//! A value that cannot travel (NaN, a negative progress) is refused here, where the caller can
//! still see which line of the program said it; nothing is altered to make it fit.

use std::time::Duration;

use jobhook_protocol::{Json, Progress, Report as Fields, Status};
use serde::Serialize;

use crate::Error;
use crate::strict_json::json_of;

/// The longest body that a server takes (clause `LIM-1`), less what is added to number it.
pub(crate) const BODY_LIMIT: usize = 10 * 1024 * 1024 - 256;

/// One report, put together field by field; see [`Job::report`](crate::Job::report).
#[derive(Clone, Debug, Default)]
#[must_use = "a report does nothing until it is given to `Job::report`"]
pub struct Report {
    fields: Fields,
}

impl Report {
    /// An empty report.
    pub fn new() -> Report {
        Report::default()
    }

    /// The job runs.
    pub fn running() -> Report {
        Report::of(Status::Running)
    }

    /// The job did what it should. Nothing but lines may follow.
    pub fn success() -> Report {
        Report::of(Status::Success)
    }

    /// The job failed. Nothing but lines may follow.
    ///
    /// - `name`: what went wrong, for programs, such as `FileNotFound`.
    /// - `message`: what went wrong, for people.
    pub fn error(name: impl Into<String>, message: impl Into<String>) -> Report {
        let mut report = Report::of(Status::Error);
        report.fields.error_name = Some(name.into());
        report.fields.error_message = Some(message.into());
        report
    }

    fn of(status: Status) -> Report {
        let mut report = Report::new();
        report.fields.status = Some(status);
        report
    }

    /// Adds what the job made; it replaces what was reported before.
    ///
    /// # Errors
    ///
    /// [`Error::NotJson`] names the place of NaN, of an infinity, of a key that is no text.
    pub fn results<T: Serialize + ?Sized>(mut self, results: &T) -> Result<Report, Error> {
        self.fields.results = Some(json_of("results", results)?);
        Ok(self)
    }

    /// Adds the results as the text of a JSON value, which is kept as it is.
    pub fn results_json(mut self, results: Json) -> Report {
        self.fields.results = Some(results);
        self
    }

    /// Adds details that people see; they replace those before, progress included.
    ///
    /// # Errors
    ///
    /// [`Error::NotJson`], as for [`Report::results`].
    pub fn details<T: Serialize + ?Sized>(mut self, details: &T) -> Result<Report, Error> {
        self.fields.status_details = Some(json_of("details", details)?);
        Ok(self)
    }

    /// Adds what the job says about its machine.
    ///
    /// # Errors
    ///
    /// [`Error::NotJson`], as for [`Report::results`].
    pub fn agent<T: Serialize + ?Sized>(mut self, agent: &T) -> Result<Report, Error> {
        self.fields.agent = Some(json_of("agent", agent)?);
        Ok(self)
    }

    /// Adds how far the job is.
    ///
    /// - `total`: how many there are, if that is known.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if `done` is negative, not a number, or more than `total`.
    pub fn progress<N: Amount>(
        mut self,
        done: N,
        total: impl Into<Option<N>>,
    ) -> Result<Report, Error> {
        let message = self.fields.progress.take().and_then(|old| old.message);
        let progress = progress_of(done.amount(), total.into().map(Amount::amount))?;
        self.fields.progress = Some(Progress {
            message,
            ..progress
        });
        Ok(self)
    }

    /// Adds what the job is doing.
    pub fn message(mut self, message: impl Into<String>) -> Report {
        self.fields.progress.get_or_insert_default().message = Some(message.into());
        self
    }

    /// Adds a line of log.
    pub fn log(mut self, line: impl Into<String>) -> Report {
        self.fields.logs.push(line.into());
        self
    }

    pub(crate) fn status(&self) -> Option<Status> {
        self.fields.status
    }

    /// Whether it says nothing besides its lines.
    pub(crate) fn has_only_lines(&mut self) -> bool {
        // Set aside meanwhile: they may be long, and are not compared.
        let lines = std::mem::take(&mut self.fields.logs);
        let only = self.fields == Fields::default();
        self.fields.logs = lines;
        only
    }

    /// Announces how often the job speaks.
    pub(crate) fn heartbeat(every: Duration) -> Report {
        let mut report = Report::new();
        report.fields.heartbeat = Some(every.as_secs_f64());
        report
    }

    pub(crate) fn of_progress(progress: Progress) -> Report {
        let mut report = Report::new();
        report.fields.progress = Some(progress);
        report
    }

    /// The JSON object to send, without its number.
    ///
    /// - `v1`: whether the server knows more than the original does.
    pub(crate) fn into_body(mut self, v1: bool) -> Result<Vec<u8>, Error> {
        if !v1 {
            in_the_words_of_the_original(&mut self.fields);
        }
        let body = serde_json::to_vec(&self.fields).map_err(|error| Error::Value {
            name: "the report",
            reason: error.to_string(),
        })?;
        if body.len() > BODY_LIMIT {
            return Err(Error::TooLarge {
                size_bytes: body.len(),
                limit_bytes: BODY_LIMIT,
            });
        }
        Ok(body)
    }
}

/// A report whose fields somebody else put together. They are sent as they are; only its number
/// is drawn here.
impl From<Fields> for Report {
    fn from(mut fields: Fields) -> Report {
        fields.delivery = None;
        Report { fields }
    }
}

/// The original knows neither `progress` nor `heartbeat`, but keeps any details.
fn in_the_words_of_the_original(fields: &mut Fields) {
    fields.heartbeat = None;
    let Some(progress) = fields.progress.take() else {
        return;
    };
    let details = [
        ("progress", progress.percent.map(serde_json::Value::from)),
        ("message", progress.message.map(serde_json::Value::from)),
        ("done", progress.done.map(serde_json::Value::from)),
        ("total", progress.total.map(serde_json::Value::from)),
    ];
    let details: serde_json::Map<_, _> = details
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    fields.status_details = Some(Json::of(&details.into()));
}

/// A number that counts work: any of the usual numeric types.
pub trait Amount: Copy + sealed::Sealed {
    #[doc(hidden)]
    fn amount(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! amounts {
    ($($number:ty),+) => {
        $(
            impl sealed::Sealed for $number {}
            impl Amount for $number {
                #[allow(clippy::cast_precision_loss, clippy::cast_lossless, reason = "JSON numbers are doubles to most readers")]
                fn amount(self) -> f64 {
                    self as f64
                }
            }
        )+
    };
}

amounts!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64);

/// Checks an amount of work, and what part it is of the whole.
pub(crate) fn progress_of(done: f64, total: Option<f64>) -> Result<Progress, Error> {
    let refuse = |reason: String| {
        Err(Error::Value {
            name: "the progress",
            reason,
        })
    };
    for (name, number) in [("done", Some(done)), ("total", total)] {
        if let Some(number) = number
            && !(number.is_finite() && number >= 0.0)
        {
            return refuse(format!("`{name}` is {number}, and must be a number from 0"));
        }
    }
    match total {
        Some(total) if done > total => refuse(format!(
            "{done} of {total} are done, which is more than there are; leave the total out if it is not known"
        )),
        _ => Ok(Progress {
            percent: total
                .filter(|total| *total > 0.0)
                .map(|total| done / total * 100.0),
            message: None,
            done: Some(done),
            total,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(done: f64, total: Option<f64>, says: &str) {
        let error = progress_of(done, total).unwrap_err();
        assert_eq!(error.code(), "invalid_value");
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn progress_that_cannot_be_is_refused() {
        refused(-1.0, None, "`done` is -1");
        refused(f64::NAN, None, "`done` is NaN");
        refused(1.0, Some(f64::INFINITY), "`total` is inf");
        refused(12.0, Some(10.0), "12 of 10 are done");
    }

    #[test]
    fn progress_without_a_total_has_no_percent() {
        let progress = progress_of(7.0, None).unwrap();
        assert_eq!((progress.done, progress.percent), (Some(7.0), None));
        assert_eq!(progress_of(0.0, Some(0.0)).unwrap().percent, None);
        assert_eq!(progress_of(1.0, Some(4.0)).unwrap().percent, Some(25.0));
        assert!(Report::new().progress(3, None).is_ok());
    }

    #[test]
    fn a_report_too_long_for_a_server_is_refused_with_its_size() {
        let error = Report::new()
            .results(&"x".repeat(BODY_LIMIT))
            .and_then(|report| report.into_body(true))
            .unwrap_err();
        assert_eq!(error.code(), "body_too_large");
        assert!(error.to_string().contains("10485518 bytes"), "{error}");
    }

    #[test]
    fn the_original_is_told_progress_as_details() {
        let body = Report::new()
            .progress(1, 2)
            .unwrap()
            .into_body(false)
            .unwrap();
        let text = String::from_utf8(body).unwrap();
        assert_eq!(
            text,
            r#"{"statusDetails":{"done":1.0,"progress":50.0,"total":2.0}}"#
        );
    }
}
