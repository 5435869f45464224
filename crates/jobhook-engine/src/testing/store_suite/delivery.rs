//! Reports that carry a number are applied once, in whatever order they come.

use jobhook_protocol::{Progress, Report, Status};

use crate::testing::Clerk;
use crate::testing::clerk::report_of;
use crate::testing::factory::*;
use crate::window::WINDOW;
use crate::write::Refusal;

pub async fn a_report_that_comes_twice_counts_once(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let first = clerk.say(at, sent("r", 1, line("one"))).await;
    let again = clerk.at(after(5)).say(at, sent("r", 1, line("one"))).await;
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(again.action, clerk.action(at.action).await);
    assert_eq!(clerk.log(at.action).await, ["one"]);
}

pub async fn a_report_that_comes_twice_in_one_batch_counts_once(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let report = report_of(at, sent("r", 1, line("one")));
    clerk.batch(&[report.clone(), report.clone(), report]).await;
    assert_eq!(clerk.log(at.action).await, ["one"]);
}

pub async fn a_report_without_a_number_counts_each_time(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for _ in 0..2 {
        assert!(!clerk.say(at, line("one")).await.duplicate);
    }
    assert_eq!(clerk.log(at.action).await, ["one", "one"]);
}

pub async fn a_resent_final_word_is_a_duplicate(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, sent("r", 1, says(Status::Running))).await;
    clerk.say(at, sent("r", 2, says(Status::Success))).await;
    for seq in [1, 2] {
        let again = clerk.say(at, sent("r", seq, says(Status::Running))).await;
        assert!(again.duplicate);
        assert_eq!(again.action.status, Status::Success);
    }
}

pub async fn a_late_report_gives_its_lines_only(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, sent("r", 2, says(Status::Success))).await;
    let late = Report {
        status: Some(Status::Running),
        results: Some(json("\"old\"")),
        progress: Some(Progress {
            percent: Some(50.0),
            ..Progress::default()
        }),
        heartbeat: Some(1.0),
        ..line("late")
    };
    let reported = clerk.say(at, sent("r", 1, late)).await;
    assert!(!reported.duplicate);
    assert_eq!(reported.action.status, Status::Success);
    assert_eq!(
        (reported.action.results, reported.action.status_details),
        (None, None)
    );
    assert_eq!(reported.attempt.heartbeat, None);
    assert_eq!(clerk.log(at.action).await, ["late"]);
}

pub async fn a_skipped_report_is_taken_later_and_once(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for seq in [1, 4, 3, 2, 3, 4, 1, 2] {
        clerk.say(at, sent("r", seq, line(&seq.to_string()))).await;
    }
    assert_eq!(clerk.log(at.action).await, ["1", "4", "3", "2"]);
}

pub async fn a_window_full_of_gaps_is_remembered(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for seq in (2..=100).step_by(2) {
        clerk.say(at, sent("r", seq, line("even"))).await;
    }
    let reports: Vec<_> = (1..=100)
        .map(|seq| report_of(at, sent("r", seq, line("odd"))))
        .collect();
    clerk.batch(&reports).await;
    clerk.batch(&reports).await;
    let log = clerk.log(at.action).await;
    assert_eq!(log.len(), 100);
    assert_eq!(log[50..].iter().filter(|text| *text == "odd").count(), 50);
}

pub async fn a_report_ahead_of_the_window_is_refused(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let refusal = clerk
        .report(at, sent("r", WINDOW + 1, line("far")))
        .await
        .unwrap_err();
    let expected = Refusal::SeqOutOfWindow {
        seq: WINDOW + 1,
        high: 0,
        window: WINDOW,
    };
    assert_eq!(refusal, expected);
    clerk.say(at, sent("r", WINDOW, line("near"))).await;
    clerk.say(at, sent("r", WINDOW + 1, line("now near"))).await;
    assert_eq!(clerk.log(at.action).await, ["near", "now near"]);
}

pub async fn a_report_behind_the_window_is_refused(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, sent("r", 1, line("one"))).await;
    clerk.say(at, sent("r", WINDOW + 1, line("far"))).await;
    let refusal = clerk
        .report(at, sent("r", 1, line("one")))
        .await
        .unwrap_err();
    let expected = Refusal::SeqOutOfWindow {
        seq: 1,
        high: WINDOW + 1,
        window: WINDOW,
    };
    assert_eq!(refusal, expected);
    clerk.say(at, sent("r", 2, line("two"))).await;
    assert_eq!(clerk.log(at.action).await, ["one", "far", "two"]);
}

pub async fn a_seq_of_zero_is_refused(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for high in [0, 1] {
        let refusal = clerk
            .report(at, sent("r", 0, line("zero")))
            .await
            .unwrap_err();
        assert_eq!(
            refusal,
            Refusal::SeqOutOfWindow {
                seq: 0,
                high,
                window: WINDOW
            }
        );
        clerk.say(at, sent("r", 1, Report::default())).await;
    }
    assert!(clerk.log(at.action).await.is_empty());
}

pub async fn each_reporter_counts_for_itself(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for reporter in ["a", "b", "A"] {
        assert!(
            !clerk
                .say(at, sent(reporter, 1, line(reporter)))
                .await
                .duplicate
        );
    }
    assert_eq!(clerk.log(at.action).await, ["a", "b", "A"]);
}

pub async fn a_reporter_counts_anew_in_a_new_attempt(clerk: Clerk) {
    let first = clerk.running(tried(2)).await;
    clerk.say(first, sent("r", 1, line("one"))).await;
    clerk.end(first, exited(1)).await;
    let second = clerk.take().await;
    assert!(!clerk.say(second, sent("r", 1, line("two"))).await.duplicate);
    assert_eq!(clerk.log(second.action).await, ["one", "two"]);
}

pub async fn reporters_at_once_lose_and_double_nothing(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let reporters: Vec<_> = (0..8)
        .map(|n| (n, clerk.clone()))
        .map(|(n, clerk)| {
            tokio::spawn(async move {
                for seq in (1..=20).flat_map(|seq| [seq, seq]) {
                    let text = format!("{n} {seq:02}");
                    clerk.say(at, sent(&n.to_string(), seq, line(&text))).await;
                }
            })
        })
        .collect();
    for reporter in reporters {
        reporter.await.unwrap();
    }
    let log = clerk.log(at.action).await;
    assert_eq!(log.len(), 8 * 20);
    for n in 0..8 {
        let own: Vec<_> = log
            .iter()
            .filter(|text| text.starts_with(&n.to_string()))
            .collect();
        assert!(own.is_sorted());
    }
}
