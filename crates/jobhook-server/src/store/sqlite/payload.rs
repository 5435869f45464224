//! What of an action may be large, and lies apart from its row.

use jobhook_engine::action::Action;
use jobhook_engine::store::StoreError;
use jobhook_protocol::Json;

use super::columns::damaged;

/// What is kept in `payloads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum Payload {
    Arguments = 0,
    Results = 1,
    Details = 2,
    ErrorName = 3,
    ErrorMessage = 4,
}

impl Payload {
    pub(super) const ALL: [Payload; 5] = [
        Payload::Arguments,
        Payload::Results,
        Payload::Details,
        Payload::ErrorName,
        Payload::ErrorMessage,
    ];

    pub(super) const fn code(self) -> i64 {
        self as i64
    }

    pub(super) const fn bit(self) -> i64 {
        1 << self.code()
    }

    pub(super) fn of(self, action: &Action) -> Option<&str> {
        match self {
            Payload::Arguments => action.arguments.as_ref().map(Json::as_str),
            Payload::Results => action.results.as_ref().map(Json::as_str),
            Payload::Details => action.status_details.as_ref().map(Json::as_str),
            Payload::ErrorName => action.error_name.as_deref(),
            Payload::ErrorMessage => action.error_message.as_deref(),
        }
    }

    pub(super) fn put(self, action: &mut Action, body: String) -> Result<(), StoreError> {
        let json = |text| Json::from_text(text).map_err(|error| damaged(action.id, error));
        match self {
            Payload::Arguments => action.arguments = Some(json(body)?),
            Payload::Results => action.results = Some(json(body)?),
            Payload::Details => action.status_details = Some(json(body)?),
            Payload::ErrorName => action.error_name = Some(body),
            Payload::ErrorMessage => action.error_message = Some(body),
        }
        Ok(())
    }
}

/// One bit for each payload that `action` has.
pub(super) fn bits(action: &Action) -> i64 {
    let has = |payload: &Payload| payload.of(action).is_some();
    Payload::ALL
        .into_iter()
        .filter(has)
        .fold(0, |bits, payload| bits | payload.bit())
}
