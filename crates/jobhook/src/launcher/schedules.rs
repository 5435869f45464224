//! Schedules, as typed calls (clauses `SCHED-*`).

use jobhook_protocol::{ScheduleBody, TickBody};
use reqwest::{Method, Url};
use serde::Serialize;

use super::Launcher;
use crate::Error;
use crate::answer::Answer;
use crate::page::{FiringsPage, SchedulesPage, TicksPage};

impl Launcher {
    /// All schedules, by name.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn schedules(&self) -> Result<Answer<SchedulesPage>, Error> {
        let url = self.url_of("schedules", &[]);
        self.call(self.request(Method::GET, url)).await
    }

    /// One schedule.
    ///
    /// # Errors
    ///
    /// `schedule_not_found`; as for every call.
    pub async fn schedule(&self, name: &str) -> Result<Answer<ScheduleBody>, Error> {
        let url = self.schedule_url(name, &[])?;
        self.call(self.request(Method::GET, url)).await
    }

    /// The next `limit` moments of a schedule, 1 to 1,000.
    ///
    /// # Errors
    ///
    /// As [`Launcher::schedule`].
    pub async fn preview_schedule(
        &self,
        name: &str,
        limit: u32,
    ) -> Result<Answer<FiringsPage>, Error> {
        let mut url = self.schedule_url(name, &["preview"])?;
        url.query_pairs_mut()
            .append_pair("limit", &limit.to_string());
        self.call(self.request(Method::GET, url)).await
    }

    /// The next `limit` moments that an expression names in a time zone.
    ///
    /// # Errors
    ///
    /// `invalid_schedule` says what is wrong with either; as for every call.
    pub async fn preview_cron(
        &self,
        cron: &str,
        timezone: &str,
        limit: u32,
    ) -> Result<Answer<FiringsPage>, Error> {
        #[derive(Serialize)]
        struct Times<'a> {
            cron: &'a str,
            timezone: &'a str,
        }
        let mut url = self.url_of("schedules", &["preview"]);
        url.query_pairs_mut()
            .append_pair("limit", &limit.to_string());
        let times = Times { cron, timezone };
        self.call(self.request(Method::POST, url).json(&times))
            .await
    }

    /// What became of a schedule's newest `limit` moments, 1 to 1,000.
    ///
    /// # Errors
    ///
    /// As [`Launcher::schedule`].
    pub async fn ticks(&self, name: &str, limit: u32) -> Result<Answer<TicksPage>, Error> {
        let mut url = self.schedule_url(name, &["ticks"])?;
        url.query_pairs_mut()
            .append_pair("limit", &limit.to_string());
        self.call(self.request(Method::GET, url)).await
    }

    /// Keeps a schedule from firing.
    ///
    /// # Errors
    ///
    /// As [`Launcher::schedule`].
    pub async fn pause_schedule(
        &self,
        name: &str,
        note: Option<&str>,
    ) -> Result<Answer<ScheduleBody>, Error> {
        #[derive(Serialize)]
        struct Pause<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            note: Option<&'a str>,
        }
        let url = self.schedule_url(name, &["pause"])?;
        self.call(self.request(Method::POST, url).json(&Pause { note }))
            .await
    }

    /// Lets a schedule fire from now on. What it missed meanwhile is not caught up.
    ///
    /// # Errors
    ///
    /// `schedule_not_paused`; as [`Launcher::schedule`].
    pub async fn resume_schedule(&self, name: &str) -> Result<Answer<ScheduleBody>, Error> {
        let url = self.schedule_url(name, &["resume"])?;
        self.call(self.request(Method::POST, url)).await
    }

    /// Runs a schedule now, paused or not.
    ///
    /// # Errors
    ///
    /// `schedule_overlap` while its last action is not over; as [`Launcher::schedule`].
    pub async fn run_schedule(&self, name: &str) -> Result<Answer<TickBody>, Error> {
        let url = self.schedule_url(name, &["run"])?;
        self.call(self.request(Method::POST, url)).await
    }

    /// Refuses a name that would be another address.
    fn schedule_url(&self, name: &str, path: &[&str]) -> Result<Url, Error> {
        let named = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.len() <= 128
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !named {
            return Err(Error::Setting {
                name: "the schedule's name",
                reason: "a name is 1 to 128 of A-Z a-z 0-9 . _ -, a letter first".to_owned(),
            });
        }
        Ok(self.url_of("schedules", &[&[name], path].concat()))
    }
}
