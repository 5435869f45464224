//! The end of an attempt: what was said, what was seen, and the judgement.

use jobhook_protocol::Status;

use crate::action::NewAction;
use crate::attempt::{Ending, Fault, Outcome, Saw, Usage};
use crate::runner::{Terms, TypeFilter};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{Refusal, Write, Written};

fn lost() -> Ending {
    Ending::Lost {
        reason: "the supervisor is gone".into(),
    }
}

/// The status, the error's name, whose fault it was.
async fn ending_gives(clerk: &Clerk, ending: Ending) -> (Status, Option<String>, Option<Fault>) {
    let at = clerk.running(echo()).await;
    let (action, closing) = clerk.end(at, ending).await;
    assert_eq!(action, clerk.action(at.action).await);
    assert_eq!(
        closing.failure.map(|failure| failure.name),
        action.error_name
    );
    assert!(!closing.disagree);
    (action.status, action.error_name, closing.fault)
}

pub async fn a_silent_job_that_exits_with_0_succeeded(clerk: Clerk) {
    assert_eq!(
        ending_gives(&clerk, exited(0)).await,
        (Status::Success, None, None)
    );
}

pub async fn a_silent_job_that_ends_otherwise_failed(clerk: Clerk) {
    let endings = [
        (exited(3), "exit_code", Fault::Code),
        (exited(-1), "exit_code", Fault::Code),
        (
            Ending::Signalled {
                signal: 11,
                name: "SIGSEGV".into(),
                core_dumped: true,
            },
            "killed_by_signal",
            Fault::Code,
        ),
        (
            Ending::OutOfMemory {
                signal: 9,
                limit: None,
            },
            "out_of_memory",
            Fault::Code,
        ),
        (
            Ending::Displaced {
                name: "evicted".into(),
                reason: "the pod was evicted".into(),
                fault: Fault::Infrastructure,
            },
            "evicted",
            Fault::Infrastructure,
        ),
        (
            Ending::NotStarted {
                reason: "no such file".into(),
            },
            "not_started",
            Fault::Code,
        ),
        (lost(), "lost", Fault::Infrastructure),
    ];
    for (ending, name, fault) in endings {
        let expected = (Status::Error, Some(name.to_owned()), Some(fault));
        assert_eq!(ending_gives(&clerk, ending).await, expected);
    }
}

pub async fn without_auto_status_silence_is_an_error(clerk: Clerk) {
    clerk.launch(echo()).await;
    let wanted = claim(TypeFilter::all(), 1);
    let terms = Terms {
        auto_status: false,
        ..wanted.terms
    };
    let at = clerk.claim(crate::write::Claim { terms, ..wanted }).await[0]
        .1
        .at;
    let (action, _) = clerk.end(at, exited(0)).await;
    assert_eq!(action.status, Status::Error);
    assert_eq!(action.error_name.as_deref(), Some("ended_without_word"));
}

pub async fn a_job_that_said_running_only_is_judged_by_its_end(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Running)).await;
    assert_eq!(clerk.end(at, exited(0)).await.0.status, Status::Success);
}

pub async fn a_success_that_ends_badly_stands_and_the_witnesses_disagree(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Success)).await;
    let (action, closing) = clerk.end(at, exited(1)).await;
    assert_eq!(
        (action.status, closing.outcome),
        (Status::Success, Outcome::Success)
    );
    assert!(closing.disagree);
    assert_eq!(action.error_name, None);
}

pub async fn a_success_that_lingers_until_it_is_stopped_is_no_disagreement(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Success)).await;
    let saw = Saw {
        stopped: true,
        ..saw(exited(143))
    };
    clerk.write(Write::Gone { attempt: at, saw }).await.unwrap();
    let (_, closing) = clerk.end(at, exited(0)).await;
    assert!(!closing.disagree);
}

pub async fn an_error_that_exits_with_0_stays_an_error(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let mut report = says(Status::Error);
    report.error_message = Some("no luck".into());
    clerk.say(at, report).await;
    let (action, closing) = clerk.end(at, exited(0)).await;
    assert_eq!(action.status, Status::Error);
    assert_eq!(action.error_message.as_deref(), Some("no luck"));
    assert_eq!(closing.fault, Some(Fault::Code));
}

pub async fn what_was_seen_is_kept_as_it_was_seen(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let usage = Some(Usage {
        user_ms: 12,
        system_ms: 3,
        max_rss_kib: 9_000,
    });
    let first = Saw {
        ending: exited(0),
        at: after(-3),
        stopped: true,
        usage,
    };
    clerk
        .write(Write::Gone {
            attempt: at,
            saw: first.clone(),
        })
        .await
        .unwrap();
    clerk.gone(at, lost()).await.unwrap();
    assert_eq!(clerk.attempt(at).await.saw, Some(first));
}

pub async fn an_attempt_closes_once_its_job_is_gone(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let close = || clerk.at(after(6)).clone();
    assert_eq!(close().write(closes(at)).await, Err(Refusal::NotGone));
    clerk.gone(at, exited(0)).await.unwrap();
    let answer = close().write(closes(at)).await;
    let Ok(Written::Closed(action, closing)) = answer else {
        panic!("a close is answered with how it closed");
    };
    assert_eq!((closing.at, action.finished_at), (after(6), Some(after(6))));
    assert_eq!(clerk.attempt(at).await.closing, Some(closing));
    assert_eq!(close().write(closes(at)).await, Err(Refusal::Closed));
    assert_eq!(clerk.gone(at, lost()).await, Err(Refusal::Closed));
}

pub async fn a_start_seen_late_does_not_revive_a_final_action(clerk: Clerk) {
    let at = clerk.taken(echo()).await;
    clerk.at(after(2)).say(at, says(Status::Success)).await;
    let started = Write::Started {
        attempt: at,
        at: after(1),
    };
    assert_eq!(clerk.write(started.clone()).await, Ok(Written::Done));
    assert_eq!(clerk.action(at.action).await.status, Status::Success);
    assert_eq!(clerk.attempt(at).await.started_at, Some(after(1)));
    clerk.end(at, exited(0)).await;
    assert_eq!(clerk.write(started).await, Err(Refusal::Closed));
}

pub async fn the_first_start_seen_counts(clerk: Clerk) {
    let at = clerk.taken(echo()).await;
    for ms in [1, 2] {
        clerk
            .write(Write::Started {
                attempt: at,
                at: after(ms),
            })
            .await
            .unwrap();
    }
    let action = clerk.action(at.action).await;
    assert_eq!(
        (action.status, action.started_at),
        (Status::Running, Some(after(1)))
    );
    assert_eq!(clerk.attempt(at).await.started_at, Some(after(1)));
}

pub async fn exit_code_0_is_no_success_without_the_results_that_are_needed(clerk: Clerk) {
    let needs = |attempt| Write::Close {
        attempt,
        needs_results: true,
    };
    let silent = clerk.running(echo()).await;
    clerk.gone(silent, exited(0)).await.unwrap();
    let Ok(Written::Closed(action, closing)) = clerk.write(needs(silent)).await else {
        panic!("a close is answered with how it closed");
    };
    assert_eq!(action.status, Status::Error);
    assert_eq!(action.error_name.as_deref(), Some("invalid_output"));
    assert_eq!(closing.fault, Some(Fault::Code));

    let at = clerk.running(echo()).await;
    let mut report = says(Status::Running);
    report.results = Some(json("1"));
    clerk.say(at, report).await;
    clerk.gone(at, exited(0)).await.unwrap();
    let Ok(Written::Closed(action, _)) = clerk.write(needs(at)).await else {
        panic!("a close is answered with how it closed");
    };
    assert_eq!(action.status, Status::Success);
}

pub async fn results_and_details_outlive_the_close(clerk: Clerk) {
    let arguments = Some(json("[1]"));
    let at = clerk
        .running(NewAction {
            arguments: arguments.clone(),
            ..echo()
        })
        .await;
    let mut report = says(Status::Success);
    report.results = Some(json("{\"n\": 1}"));
    report.status_details = Some(json("\"done\""));
    clerk.say(at, report).await;
    let (action, _) = clerk.end(at, exited(0)).await;
    assert_eq!(action.arguments, arguments);
    assert_eq!(action.results, Some(json("{\"n\": 1}")));
    assert_eq!(action.status_details, Some(json("\"done\"")));
    assert_eq!(clerk.action(at.action).await, action);
}
