//! An action's log, and the output that a runner hands in for it.

use jobhook_protocol::{LineSource, Report, Status};

use crate::attempt::AttemptRef;
use crate::runner::{Output, OutputLine};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{Refusal, Written};

pub async fn lines_are_numbered_over_all_sources_and_attempts(clerk: Clerk) {
    let first = clerk.running(tried(2)).await;
    clerk
        .say(
            first,
            Report {
                logs: vec!["a".into(), "b".into()],
                ..Report::default()
            },
        )
        .await;
    clerk
        .output(first, output(0, 10, &["c", "d"]))
        .await
        .unwrap();
    clerk.end(first, exited(1)).await;
    let second = clerk.take().await;
    clerk.say(second, line("e")).await;
    let lines = clerk.store().lines(first.action, 0, 9).await.unwrap();
    let numbers: Vec<u64> = lines.iter().map(|line| line.number).collect();
    let attempts: Vec<u32> = lines.iter().map(|line| line.attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(attempts, [1, 1, 1, 1, 2]);
    assert_eq!(clerk.action(first.action).await.log.last, 5);
}

pub async fn a_line_keeps_its_time_and_source(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let of = |source, ms| OutputLine {
        source,
        time: after(ms),
        text: String::new(),
    };
    let mut stretch = output(0, 3, &[]);
    stretch.lines = vec![
        of(LineSource::Stderr, -5),
        of(LineSource::Stdout, 1),
        of(LineSource::Server, 0),
    ];
    clerk.output(at, stretch).await.unwrap();
    clerk.at(after(9)).say(at, line("job")).await;
    let lines = clerk.store().lines(at.action, 0, 9).await.unwrap();
    let kept: Vec<_> = lines.iter().map(|line| (line.source, line.time)).collect();
    let expected = [
        (LineSource::Stderr, after(-5)),
        (LineSource::Stdout, after(1)),
        (LineSource::Server, NOW),
        (LineSource::Job, after(9)),
    ];
    assert_eq!(kept, expected);
}

pub async fn a_page_begins_behind_the_last_line_seen(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk
        .output(at, output(0, 1, &["1", "2", "3", "4", "5"]))
        .await
        .unwrap();
    let page = clerk.store().lines(at.action, 2, 2).await.unwrap();
    assert_eq!((page[0].number, page[1].number, page.len()), (3, 4, 2));
    for after in [5, 6, u64::MAX] {
        assert_eq!(clerk.store().lines(at.action, after, 2).await.unwrap(), []);
    }
    assert_eq!(clerk.store().lines(at.action, 0, 0).await.unwrap(), []);
}

pub async fn logs_of_different_actions_do_not_mix(clerk: Clerk) {
    let one = clerk.running(echo()).await;
    let other = clerk.running(echo()).await;
    clerk.say(one, line("one")).await;
    clerk.say(other, line("other")).await;
    assert_eq!(clerk.log(one.action).await, ["one"]);
    assert_eq!(clerk.log(other.action).await, ["other"]);
}

pub async fn a_thousand_lines_fit_into_one_write(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let texts: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
    let lines: Vec<&str> = texts.iter().map(String::as_str).collect();
    clerk.output(at, output(0, 1, &lines)).await.unwrap();
    assert_eq!(clerk.log(at.action).await, texts);
}

pub async fn text_keeps_every_character(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let text =
        "<a href=\"x\">&amp;</a> 'é' 🦀 \u{feff}\u{202e}\t\r\\ \u{1b}[31m {\"a\":null} %s ?1";
    let long = "ß".repeat(32 << 10);
    for text in [text, "", " ", long.as_str()] {
        clerk.say(at, line(text)).await;
    }
    assert_eq!(clerk.log(at.action).await, [text, "", " ", long.as_str()]);
}

pub async fn output_with_a_nul_is_kept_with_a_replacement(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.output(at, output(0, 4, &["a\0b"])).await.unwrap();
    assert_eq!(clerk.log(at.action).await, ["a\u{fffd}b"]);
}

pub async fn output_is_stored_once(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.output(at, output(0, 4, &["one"])).await.unwrap();
    let again = clerk.output(at, output(0, 4, &["one"])).await;
    assert_eq!(again, Err(Refusal::StaleOffset { stored: 4 }));
    clerk.output(at, output(4, 8, &["two"])).await.unwrap();
    assert_eq!(clerk.log(at.action).await, ["one", "two"]);
    assert_eq!(clerk.attempt(at).await.output_offset, 8);
}

pub async fn output_that_skips_a_stretch_is_refused(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let answer = clerk.output(at, output(3, 4, &["two"])).await;
    assert_eq!(answer, Err(Refusal::StaleOffset { stored: 0 }));
    assert!(clerk.log(at.action).await.is_empty());
}

pub async fn output_without_lines_moves_the_offset(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    assert_eq!(
        clerk.output(at, output(0, 1 << 40, &[])).await,
        Ok(Written::Done)
    );
    assert_eq!(clerk.attempt(at).await.output_offset, 1 << 40);
}

pub async fn the_mark_of_output_stays_until_the_next(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let marked = |from, mark: Option<&str>| Output {
        mark: mark.map(str::to_owned),
        ..output(from, from + 1, &["line"])
    };
    assert_eq!(clerk.attempt(at).await.output_mark, None);
    clerk.output(at, marked(0, Some("here"))).await.unwrap();
    clerk.output(at, marked(1, None)).await.unwrap();
    assert_eq!(clerk.attempt(at).await.output_mark.as_deref(), Some("here"));
    // Without lines, and at the same offset: the mark alone.
    let there = Output {
        mark: Some("there".into()),
        ..output(2, 2, &[])
    };
    clerk.output(at, there).await.unwrap();
    assert_eq!(
        clerk.attempt(at).await.output_mark.as_deref(),
        Some("there")
    );
    let stale = clerk.output(at, marked(0, Some("back"))).await;
    assert_eq!(stale, Err(Refusal::StaleOffset { stored: 2 }));
    assert_eq!(
        clerk.attempt(at).await.output_mark.as_deref(),
        Some("there")
    );
}

pub async fn output_is_taken_until_the_attempt_closes(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Success)).await;
    clerk.gone(at, exited(0)).await.unwrap();
    clerk.output(at, output(0, 4, &["one"])).await.unwrap();
    clerk.end(at, exited(0)).await;
    assert_eq!(
        clerk.output(at, output(4, 8, &["two"])).await,
        Err(Refusal::Closed)
    );
    let unknown = AttemptRef { number: 9, ..at };
    assert_eq!(
        clerk.output(unknown, output(0, 4, &["x"])).await,
        Err(Refusal::NotFound)
    );
    assert_eq!(clerk.log(at.action).await, ["one"]);
}
