use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    expression: String,
    timezone: String,
    after: Option<String>,
    firings: Option<Vec<Wanted>>,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct Wanted {
    at: String,
    local: String,
    fold: u8,
}

fn vectors() -> Vec<Case> {
    let path = format!(
        "{}/../../conformance/vectors/cron.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<Vectors>(&text).unwrap().cases
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn walk(cron: &Cron, after: Timestamp, count: usize) -> Vec<Firing> {
    std::iter::successors(cron.next_after(after), |last| cron.next_after(last.at))
        .take(count)
        .collect()
}

#[test]
fn every_vector_fires_when_it_should_in_both_directions() {
    let mut checked = 0;
    for case in vectors() {
        let Some(wanted) = &case.firings else {
            continue;
        };
        let cron = Cron::parse(&case.expression, &case.timezone)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let after = at(case.after.as_deref().unwrap());
        let wanted: Vec<Firing> = wanted
            .iter()
            .map(|firing| Firing {
                at: at(&firing.at),
                local: firing.local.clone(),
                fold: firing.fold,
            })
            .collect();
        assert_eq!(walk(&cron, after, wanted.len()), wanted, "{}", case.name);

        let mut until = wanted.last().unwrap().at;
        for firing in wanted.iter().rev() {
            assert_eq!(
                cron.last_in(after, until).as_ref(),
                Some(firing),
                "{}",
                case.name
            );
            until = Timestamp(firing.at.0 - 1);
        }
        assert_eq!(cron.last_in(after, until), None, "{}", case.name);
        checked += 1;
    }
    assert!(checked > 80, "{checked}");
}

#[test]
fn every_vector_that_is_refused_is_refused_for_its_reason() {
    let mut codes = HashSet::new();
    for case in vectors() {
        let Some(code) = case.refused else { continue };
        let error = Cron::parse(&case.expression, &case.timezone)
            .expect_err(&format!("{} is accepted", case.name));
        assert_eq!(error.code(), code, "{}: {error}", case.name);
        codes.insert(code);
    }
    assert_eq!(codes.len(), 9, "every reason is in the vectors");
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_would_be_right() {
    #[track_caller]
    fn check(expression: &str, timezone: &str, wanted: &str) {
        let error = Cron::parse(expression, timezone).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
    check(
        "0 0 * *",
        "UTC",
        "the cron expression has 4 fields; it takes 5 (minute, hour, day of month, month, day of week) or 6 (second first)",
    );
    check(
        "0 25 * * *",
        "UTC",
        "`25` is out of range: hour takes 0 to 23",
    );
    check(
        "0 0 * * mondays",
        "UTC",
        "`mondays` is not understood as day of week: it takes 0 to 7, or SUN to SAT",
    );
    check(
        "* * 31 2 *",
        "UTC",
        "`* * 31 2 *` never fires: no date matches its day and month",
    );
    check(
        "@daily",
        "Europe/Berln",
        "`Europe/Berln` is not a time zone of the IANA database, as Europe/Berlin or UTC are; did you mean Europe/Berlin?",
    );
    check(
        "@daily",
        "Kathmandu",
        "`Kathmandu` is not a time zone of the IANA database, as Europe/Berlin or UTC are; did you mean Asia/Kathmandu?",
    );
}

#[test]
fn a_name_that_depends_on_the_machine_is_no_zone() {
    for name in [
        "localtime",
        "LocalTime",
        "posixrules",
        "Factory",
        "Etc/Unknown",
        "posix/Europe/Berlin",
        "right/UTC",
    ] {
        let error = Cron::parse("@daily", name).unwrap_err();
        let says = format!("`{name}` is not the same time zone on every machine; ");
        assert!(error.to_string().starts_with(&says), "{error}");
    }
}

#[test]
fn an_expression_is_kept_as_written_and_a_zone_as_the_database_spells_it() {
    let cron = Cron::parse(" 0 0 * * mon ", "europe/berlin").unwrap();
    assert_eq!(cron.expression(), "0 0 * * mon");
    assert_eq!(cron.timezone(), "Europe/Berlin");
    assert_eq!(cron.six_fields(), "0 0 0 * * 1");
}

#[test]
fn the_end_of_time_has_no_firing_and_does_no_harm() {
    let cron = Cron::parse("30 2 * * *", "Europe/Berlin").unwrap();
    let (first, last) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    assert_eq!(cron.next_after(last), None);
    assert_eq!(cron.last_in(last, first), None);
    assert_eq!(
        cron.last_in(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")),
        None
    );
    let newest = cron.last_in(first, last).unwrap();
    assert!(newest.local.starts_with("5000-12-31T02:30"), "{newest:?}");
    assert!(cron.next_after(first).is_some());
}

#[test]
fn a_database_is_in_the_program_for_systems_that_have_none() {
    let bundled = jiff::tz::TimeZoneDatabase::bundled();
    assert!(bundled.get("Europe/Berlin").is_ok());
}

#[test]
fn jitter_is_the_same_everywhere_and_spreads() {
    let firing = |minute: u32| Firing {
        at: Timestamp(0),
        local: format!("2026-03-29T02:{minute:02}:00"),
        fold: 0,
    };
    let max = Duration::from_secs(60);
    assert_eq!(
        jitter("nightly", &firing(30), max),
        Duration::from_millis(5_833),
        "changing this makes servers of two versions disagree"
    );
    let delays: HashSet<Duration> = (0..60)
        .map(|minute| jitter("nightly", &firing(minute), max))
        .collect();
    assert!(delays.iter().all(|delay| *delay < max));
    assert!(delays.iter().any(|delay| *delay < max / 4));
    assert!(delays.iter().any(|delay| *delay > max / 4 * 3));
    assert_ne!(
        jitter("nightly", &firing(1), max),
        jitter("daily", &firing(1), max)
    );
    assert_eq!(
        jitter("nightly", &firing(1), Duration::ZERO),
        Duration::ZERO
    );
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Nuuk",
    "Africa/Casablanca",
    "Asia/Kathmandu",
];

/// A field of numbers up to `high`, plain, listed, as a range, with steps or `*`.
fn field(low: u16, high: u16) -> impl Strategy<Value = String> {
    let value = low..=high;
    prop_oneof![
        4 => value.clone().prop_map(|one| one.to_string()),
        1 => (value.clone(), value.clone()).prop_map(|(one, two)| format!("{one},{two}")),
        1 => (value.clone(), value).prop_map(|(one, two)| format!("{}-{}", one.min(two), one.max(two))),
        1 => (1..=high - low).prop_map(|step| format!("*/{step}")),
        2 => Just("*".to_owned()),
    ]
}

prop_compose! {
    fn cron()(
        second in field(0, 59),
        minute in field(0, 59),
        hour in field(0, 4),
        zone in prop::sample::select(&ZONES[..]),
        day in prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 28)],
    ) -> Cron {
        Cron::parse(&format!("{second} {minute} {hour} {day} * *"), zone).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 128 } else { 1024 }))]

    #[test]
    fn firings_only_move_on_and_no_two_have_one_key(
        cron in cron(),
        // 2010 to 2030.
        start in 1_262_304_000_000_i64..1_893_456_000_000,
    ) {
        let firings = walk(&cron, Timestamp(start), 40);
        let mut last = Timestamp(start);
        let mut keys = HashSet::new();
        for firing in &firings {
            prop_assert!(firing.at > last, "{:?}: {:?}", cron, firings);
            prop_assert!(keys.insert((firing.local.clone(), firing.fold)), "{:?}: {:?}", cron, firing);
            last = firing.at;
        }
    }

    #[test]
    fn the_newest_firing_is_the_last_of_a_walk(
        cron in cron(),
        start in 1_262_304_000_000_i64..1_893_456_000_000,
        steps in 0_usize..30,
        beyond in 0_i64..600_000,
    ) {
        let start = Timestamp(start);
        let firings = walk(&cron, start, 40);
        let until = Timestamp(firings[steps.min(firings.len() - 1)].at.0 + beyond);
        if until < firings[firings.len() - 1].at {
            let wanted = firings.iter().rfind(|firing| firing.at <= until);
            prop_assert_eq!(cron.last_in(start, until), wanted.cloned());
        }
    }

    #[test]
    fn no_text_is_more_than_refused(expression in "[ -~]{0,40}", zone in "[ -~]{0,20}") {
        let _ = Cron::parse(&expression, "UTC");
        let _ = Cron::parse("@daily", &zone);
    }

    #[test]
    fn what_looks_like_an_expression_is_no_more_than_refused(expression in "([0-9*/,LW#+-]{1,5} ){4,5}[0-7*#L,]{1,4}") {
        if let Ok(cron) = Cron::parse(&expression, "Europe/Berlin") {
            prop_assert!(cron.next_after(Timestamp(1_774_000_000_000)).is_some(), "{}", expression);
        }
    }
}
