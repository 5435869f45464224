//! A log that is full: ten lines or a hundred bytes (see [`super::SMALL_LOG`]).

use crate::testing::Clerk;
use crate::testing::factory::*;

pub async fn the_oldest_lines_are_dropped_beyond_the_limit(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for n in 1..=12 {
        clerk.say(at, line(&n.to_string())).await;
    }
    let expected: Vec<String> = (3..=12).map(|n| n.to_string()).collect();
    assert_eq!(clerk.log(at.action).await, expected);
    let log = clerk.action(at.action).await.log;
    assert_eq!((log.last, log.dropped, log.bytes), (12, 2, 13));
    let page = clerk.store().lines(at.action, 0, 1).await.unwrap();
    assert_eq!(page[0].number, 3);
}

pub async fn one_write_may_exceed_the_limit(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let texts: Vec<String> = (1..=700).map(|n| n.to_string()).collect();
    let lines: Vec<&str> = texts.iter().map(String::as_str).collect();
    clerk.output(at, output(0, 1, &lines)).await.unwrap();
    assert_eq!(clerk.log(at.action).await, texts[690..]);
    assert_eq!(clerk.action(at.action).await.log.dropped, 690);
}

pub async fn the_limit_counts_bytes_too(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for text in ["a", "b", "c"] {
        clerk.say(at, line(&text.repeat(40))).await;
    }
    assert_eq!(clerk.log(at.action).await, ["b".repeat(40), "c".repeat(40)]);
    let log = clerk.action(at.action).await.log;
    assert_eq!((log.last, log.dropped, log.bytes), (3, 1, 80));
    clerk.say(at, line(&"é".repeat(25))).await;
    assert_eq!(clerk.log(at.action).await, ["c".repeat(40), "é".repeat(25)]);
}

pub async fn a_log_of_exactly_the_limit_is_whole(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for _ in 0..10 {
        clerk.say(at, line("0123456789")).await;
    }
    assert_eq!(clerk.log(at.action).await.len(), 10);
    assert_eq!(clerk.action(at.action).await.log.dropped, 0);
}

pub async fn a_line_larger_than_the_limit_leaves_an_empty_log(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, line("small")).await;
    clerk.say(at, line(&"x".repeat(101))).await;
    assert!(clerk.log(at.action).await.is_empty());
    let log = clerk.action(at.action).await.log;
    assert_eq!((log.last, log.dropped, log.bytes), (2, 2, 0));
    clerk.say(at, line("next")).await;
    assert_eq!(clerk.log(at.action).await, ["next"]);
}

pub async fn each_log_is_limited_by_itself(clerk: Clerk) {
    let one = clerk.running(echo()).await;
    let other = clerk.running(echo()).await;
    clerk.say(other, line("kept")).await;
    for _ in 0..11 {
        clerk.say(one, line("x")).await;
    }
    assert_eq!(clerk.log(one.action).await.len(), 10);
    assert_eq!(clerk.log(other.action).await, ["kept"]);
}
