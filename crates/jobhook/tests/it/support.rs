//! What the tests share.

use std::time::Duration;

use jobhook::testing::FakeHook;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The numbers of the reports that were applied.
pub(crate) fn numbers(hook: &FakeHook) -> Vec<u64> {
    let reports = hook.reports();
    let numbers = reports.iter().filter_map(|received| {
        let delivery = received.report.delivery.as_ref();
        delivery.map(|delivery| delivery.seq)
    });
    numbers.collect()
}

/// `line 0`, `line 1`, …
pub(crate) fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

/// A hook whose jobs speak webda.
pub(crate) fn hook_of_the_original() -> FakeHook {
    let hook = FakeHook::start().unwrap();
    let mut environment = hook.environment();
    environment.attempt = None;
    hook.set_environment(environment);
    hook
}

/// Bytes of which no two blocks in a row are alike.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}
