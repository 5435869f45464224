//! What the cases of a suite are made of, one call each.

#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    reason = "test code: a failure is to stop the test"
)]

use bytes::Bytes;
use jobhook_protocol::{Delivery, Json, LineSource, Md5Sum, Report, Sha256Sum, Status};

use crate::action::{Action, ActionId, LogMeter, NewAction, Timeouts};
use crate::attempt::{Attempt, AttemptRef, Ending, Saw};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{
    Arrived, Attach, Content, FileFields, InputFile, OUTPUTS, ObjectLimits, ObjectRef, Origin,
    PropertyRef, Staged,
};
use crate::runner::{Output, OutputLine, Terms, TypeFilter};
use crate::write::{Claim, Write};

/// When the cases take place.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// `ms` milliseconds after [`NOW`].
pub const fn after(ms: i64) -> Timestamp {
    Timestamp(NOW.0 + ms)
}

/// JSON from its text.
pub fn json(text: &str) -> Json {
    Json::from_text(text.to_owned()).unwrap()
}

/// An action of the type `Echo`, to start at once, with one try.
pub fn echo() -> NewAction {
    of_type("Echo")
}

/// An action of a type, to start at once, with one try.
pub fn of_type(action_type: &str) -> NewAction {
    NewAction {
        id: ActionId::draw(NOW),
        action_type: action_type.to_owned(),
        operation: false,
        schedule: None,
        arguments: None,
        attempts: 1,
        scheduled: None,
        timeouts: Timeouts::default(),
        retry_of: None,
        traceparent: None,
        refusal: None,
        files: Vec::new(),
        most: ObjectLimits::NONE,
        inputs_of: None,
        grants: Vec::new(),
    }
}

/// An action of a type that a runner has just taken.
pub fn taken(action_type: &str) -> Action {
    let new = of_type(action_type);
    Action {
        id: new.id,
        action_type: new.action_type,
        operation: new.operation,
        schedule: new.schedule,
        status: Status::Starting,
        attempt: 1,
        attempts: new.attempts,
        arguments: new.arguments,
        results: None,
        status_details: None,
        error_name: None,
        error_message: None,
        created_at: NOW,
        updated_at: NOW,
        due_at: NOW,
        scheduled: None,
        expires_at: None,
        started_at: None,
        finished_at: None,
        cancel: None,
        retry_of: None,
        timeouts: new.timeouts,
        traceparent: None,
        grants: Vec::new(),
        log: LogMeter::default(),
        open: true,
    }
}

/// The attempt under way of an action, of which nothing was seen or heard yet.
pub fn attempt_of(action: &Action) -> Attempt {
    Attempt {
        at: AttemptRef {
            action: action.id,
            number: action.attempt,
        },
        runner: "local".into(),
        worker: "server-1".into(),
        key_id: "00000000".into(),
        nonce: "00".repeat(16),
        auto_status: true,
        signature_required: false,
        claimed_at: NOW,
        started_at: None,
        heard_at: None,
        job_time_ms: None,
        heartbeat: None,
        said: None,
        said_final_at: None,
        said_failure: None,
        timed_out: None,
        output_offset: 0,
        output_mark: None,
        saw: None,
        closing: None,
    }
}

/// [`echo`], but to start later.
pub fn echo_at(scheduled: Timestamp) -> NewAction {
    NewAction {
        scheduled: Some(scheduled),
        ..echo()
    }
}

/// [`echo`] with several tries.
pub fn tried(attempts: u32) -> NewAction {
    NewAction { attempts, ..echo() }
}

/// [`echo`] that does not wait for ever.
pub fn hurried(timeouts: Timeouts) -> NewAction {
    NewAction { timeouts, ..echo() }
}

/// A claim of up to `count` actions of these types.
pub fn claim(types: TypeFilter, count: usize) -> Claim {
    Claim {
        runner: "local".into(),
        worker: "server-1".into(),
        types,
        terms: Terms {
            auto_status: true,
            signature_required: false,
            grace: std::time::Duration::from_secs(10),
            linger: std::time::Duration::from_secs(30),
        },
        key_id: "key-1".into(),
        nonces: (0..count).map(|n| format!("nonce-{n}")).collect(),
    }
}

/// A report of a status and nothing else.
pub fn says(status: Status) -> Report {
    Report {
        status: Some(status),
        ..Report::default()
    }
}

/// A report of one line.
pub fn line(text: &str) -> Report {
    Report {
        logs: vec![text.to_owned()],
        ..Report::default()
    }
}

/// The report as the `seq`-th of a reporter.
pub fn sent(reporter: &str, seq: u64, report: Report) -> Report {
    Report {
        delivery: Some(Delivery {
            reporter: reporter.to_owned(),
            seq,
        }),
        ..report
    }
}

/// A stretch of standard output.
pub fn output(from: u64, to: u64, lines: &[&str]) -> Output {
    let line = |text: &&str| OutputLine {
        source: LineSource::Stdout,
        time: NOW,
        text: (*text).to_owned(),
    };
    Output {
        from,
        to,
        lines: lines.iter().map(line).collect(),
        mark: None,
    }
}

/// The end that a runner saw at [`NOW`].
pub fn saw(ending: Ending) -> Saw {
    Saw {
        ending,
        at: NOW,
        stopped: false,
        usage: None,
    }
}

/// The close of an attempt that needs no results.
pub fn closes(attempt: AttemptRef) -> Write {
    Write::Close {
        attempt,
        needs_results: false,
    }
}

/// A program that ended by itself.
pub fn exited(code: i32) -> Ending {
    Ending::Exited { code }
}

/// The content number `n`, of `n` bytes, in the blob `blob`.
pub fn content(n: u8, blob: &str) -> Content {
    Content {
        sha256: Sha256Sum([n; 32]),
        md5: Md5Sum([n; 16]),
        challenge: Md5Sum([!n; 16]),
        size: n.into(),
        blob: BlobName(blob.to_owned()),
    }
}

/// A content that was uploaded at [`NOW`].
pub fn staged(content: Content) -> Staged {
    Staged { content, at: NOW }
}

/// What is said about a file that has a name and nothing else.
pub fn named(name: &str) -> FileFields {
    FileFields {
        name: Some(name.to_owned()),
        mimetype: "application/octet-stream".into(),
        metadata: None,
    }
}

/// A staged file for a launch.
pub fn input(blob: &str, name: &str) -> InputFile {
    InputFile {
        staged: BlobName(blob.to_owned()),
        fields: named(name),
    }
}

/// An object of the store `images`.
pub fn image(id: &str) -> ObjectRef {
    ObjectRef {
        store: "images".into(),
        id: id.to_owned(),
    }
}

/// The property with what the job of an action leaves.
pub fn outputs(action: ActionId) -> PropertyRef {
    ObjectRef::of_action(action).property(OUTPUTS)
}

/// [`content`], which has just arrived.
pub fn arrived(n: u8, blob: &str) -> Origin {
    Origin::Arrived(arrival(content(n, blob)))
}

/// What has just come of a [`content`]: its bytes too, where its blob is small.
pub fn arrival(content: Content) -> Arrived {
    Arrived {
        bytes: content.blob.is_small().then(|| bytes_of(&content)),
        content,
    }
}

/// The bytes of a [`content`].
pub fn bytes_of(content: &Content) -> Bytes {
    vec![content.sha256.0[0]; usize::try_from(content.size).unwrap()].into()
}

/// What is staged as the blob `blob`.
pub fn staged_as(blob: &str) -> Origin {
    Origin::Staged(BlobName(blob.to_owned()))
}

/// [`content`], which is stored.
pub fn stored(n: u8) -> Origin {
    Origin::Stored(Sha256Sum([n; 32]))
}

/// Attaches from outside and without limits, to an object that is made where it is not there.
pub fn attach(to: PropertyRef, origin: Origin, name: &str) -> Attach {
    Attach {
        to,
        origin,
        fields: named(name),
        by: None,
        most: ObjectLimits::NONE,
        create: true,
    }
}
