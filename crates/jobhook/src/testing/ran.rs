//! An operation inside the test, without a server or a child process.

use jobhook_protocol::{JobEnvironment, Progress, Report, SecretKey};
use serde::Serialize;
use serde_json::Value;

use crate::failure::UNKNOWN_OPERATION;
use crate::strict_json::json_of;
use crate::{Error, Failure, Operations, Standing, in_process};

/// What came of an operation; made by [`run`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ran {
    /// What it returned, or how it failed: what its action would show.
    pub result: Result<Value, Failure>,
    /// The lines of its log.
    pub lines: Vec<String>,
    /// What it said about its progress, the newest last. Of many calls in a row some are
    /// left out, as they are for a server.
    pub progress: Vec<Progress>,
    /// Everything it said itself, in order.
    pub reports: Vec<Report>,
}

/// Runs an operation of a program, and collects what it says.
///
/// - `id`: the operation's; one that is not there fails as `unknown_operation`, as it does for
///   a server.
/// - `input`: what the action would be launched with.
///
/// Nothing checks the input against its schema first: that is the server's part.
///
/// # Errors
///
/// `not_json` if the input is none.
///
/// ```
/// use jobhook::{Error, Job, Operations, testing};
///
/// async fn double(job: Job, n: u32) -> Result<u32, Error> {
///     job.log(format!("doubling {n}"))?;
///     job.progress(1, 1)?;
///     Ok(n * 2)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let operations = Operations::new().operation("Double", double);
///
/// let ran = testing::run(&operations, "Double", &21).await?;
/// assert_eq!(ran.result.unwrap(), 42);
/// assert_eq!(ran.lines, ["doubling 21"]);
/// assert_eq!(ran.progress.last().unwrap().percent, Some(100.0));
///
/// let ran = testing::run(&operations, "Double", "21").await?;
/// assert_eq!(ran.result.unwrap_err().name, "invalid_input");
/// # Ok(()) }
/// ```
pub async fn run<T: Serialize + ?Sized>(
    operations: &Operations,
    id: &str,
    input: &T,
) -> Result<Ran, Error> {
    let input = json_of("the input", input)?;
    operations.check()?;
    let mut ran = Ran {
        result: Err(Failure::new(
            UNKNOWN_OPERATION,
            format!("there is no operation `{id}`"),
        )),
        lines: Vec::new(),
        progress: Vec::new(),
        reports: Vec::new(),
    };
    let Some(operation) = operations.get(id) else {
        return Ok(ran);
    };
    let environment = JobEnvironment {
        id: "00000000-0000-7000-8000-000000000001".to_owned(),
        secret_key: SecretKey::from_text("the key of a job in a test")?,
        hook: "http://localhost/async".to_owned(),
        orchestrator: Some("testing".to_owned()),
        attempt: Some(1),
        traceparent: None,
    };
    let mut standing = Standing::new(id);
    standing.operation_id = Some(id.to_owned());
    standing.arguments = Some(input.clone());
    let (job, mut desk) = in_process::open(environment, standing);
    let work = async {
        let outcome = operation.call(job.clone(), Some(input)).await;
        // Tasks that outlive the operation may have the job still.
        let _ = job.close_async().await;
        outcome.map(|results| results.value())
    };
    let collecting = async {
        while let Some(report) = desk.next().await {
            desk.stored(Ok(()));
            ran.lines.extend(report.logs.iter().cloned());
            ran.progress.extend(report.progress.clone());
            ran.reports.push(report);
        }
    };
    let (result, ()) = futures_util::future::join(work, collecting).await;
    ran.result = result;
    Ok(ran)
}
