//! One function with a name, its input and its output (clauses `OP-*`).
//!
//! ```text
//! input ─read it─▶ function(job, input) ─▶ output ─write it─▶ results
//!           └─▶ invalid_input   ├─▶ its error     └─▶ invalid_output
//!                               └─▶ panicked
//! ```
//!
//! Where it runs, and who is told what came of it, is not known here: a child process, the
//! server itself and a test call it alike.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jobhook_protocol::{Definition, Json};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Failure, INVALID_INPUT, INVALID_OUTPUT};
use crate::strict_json::json_of;
use crate::{Job, schema};

type Function = dyn Fn(Job, Option<Json>) -> BoxFuture<'static, Outcome> + Send + Sync;
type Outcome = Result<Json, Failure>;

/// A function that is launched by name. Cloning is cheap.
#[derive(Clone)]
pub struct Operation {
    id: Arc<str>,
    permission: Option<Arc<str>>,
    function: Arc<Function>,
    input_schema: fn() -> Value,
    output_schema: fn() -> Value,
    blocks: bool,
}

impl Operation {
    /// An async function. What takes long in it should be `await`ed, and not computed: see
    /// [`Operation::blocking`].
    ///
    /// - `id`: what it is launched as, such as `Report.Generate`: 1 to 128 of `A-Z a-z 0-9 _ . -`,
    ///   and the first a letter. [`Operations`](crate::Operations) refuses any other.
    /// - `function`: its input is read from the action's arguments, those that were not given
    ///   from `null`; what it returns are the action's results. How its error is shown, see
    ///   [`Failure::of`].
    pub fn new<F, Fut, I, O, E>(id: impl Into<String>, function: F) -> Operation
    where
        F: Fn(Job, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        let function = Arc::new(function);
        Operation::of::<I, O>(id.into(), move |job, input| {
            let function = function.clone();
            let work = async move {
                let input: I = read(input.as_ref())?;
                // Called inside, so that what it does before its first `await` is caught, too.
                let output = function(job, input).await.map_err(Failure::of)?;
                written(&output)
            };
            let work = AssertUnwindSafe(work).catch_unwind();
            work.map(|outcome| outcome.unwrap_or_else(|payload| Err(Failure::of_panic(&*payload))))
                .boxed()
        })
    }

    /// A function that computes, or waits for what is not async: each call has a thread of
    /// tokio's pool for such work. It cannot be interrupted, and should look at
    /// [`Job::is_cancelled`] now and then.
    ///
    /// For the rest see [`Operation::new`].
    pub fn blocking<F, I, O, E>(id: impl Into<String>, function: F) -> Operation
    where
        F: Fn(Job, I) -> Result<O, E> + Send + Sync + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        let function = Arc::new(function);
        Operation::of::<I, O>(id.into(), move |job, input| {
            let function = function.clone();
            let work = move || {
                let input: I = read(input.as_ref())?;
                let scope = job.clone();
                let output = scope.scope_sync(|| function(job, input));
                written(&output.map_err(Failure::of)?)
            };
            blocking(work).boxed()
        })
        .on_a_thread_of_its_own()
    }

    fn on_a_thread_of_its_own(mut self) -> Operation {
        self.blocks = true;
        self
    }

    fn of<I: JsonSchema, O: JsonSchema>(
        id: String,
        function: impl Fn(Job, Option<Json>) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Operation {
        Operation {
            id: id.into(),
            permission: None,
            function: Arc::new(function),
            input_schema: schema::of_input::<I>,
            output_schema: schema::of_output::<O>,
            blocks: false,
        }
    }

    /// Lets only those launch it for whom this holds: an expression over the claims of who
    /// asks. It is the server that reads and applies it.
    #[must_use]
    pub fn permission(mut self, expression: impl Into<String>) -> Operation {
        self.permission = Some(expression.into().into());
        self
    }

    /// What it is launched as.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether each call has a thread of its own, which goes on when the call's future is dropped.
    pub fn is_blocking(&self) -> bool {
        self.blocks
    }

    /// How it is described to a server, without its schemas.
    pub fn definition(&self) -> Definition {
        Definition {
            id: self.id.to_string(),
            input: Some(self.schema_name("input")),
            output: Some(self.schema_name("output")),
            permission: self.permission.as_deref().map(str::to_owned),
        }
    }

    /// The JSON Schema of its input; 2020-12, and complete in itself.
    pub fn input_schema(&self) -> Value {
        (self.input_schema)()
    }

    /// The JSON Schema of what it returns; 2020-12, and complete in itself.
    pub fn output_schema(&self) -> Value {
        (self.output_schema)()
    }

    /// What its schemas are called in the definitions: the original's way.
    pub(crate) fn schema_name(&self, of: &str) -> String {
        format!("{}.{of}", self.id.to_lowercase())
    }

    /// Runs it for a job, inside of its [scope](Job::scope), and tells what it returned. A panic
    /// is caught. Nothing is reported. Dropping the future ends an async function at its next
    /// `await`.
    ///
    /// - `input`: what the action was launched with; nothing is read as `null`.
    ///
    /// # Errors
    ///
    /// `invalid_input` if the function cannot read it, `invalid_output` if what it returned is
    /// no JSON, `panicked`; else the function's own.
    ///
    /// # Panics
    ///
    /// A blocking function outside of a tokio runtime.
    pub fn call(&self, job: Job, input: Option<Json>) -> BoxFuture<'static, Outcome> {
        let scope = job.clone();
        scope.scope((self.function)(job, input)).boxed()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("id", &self.id)
            .field("permission", &self.permission)
            .finish_non_exhaustive()
    }
}

fn read<I: DeserializeOwned>(input: Option<&Json>) -> Result<I, Failure> {
    let text = input.map_or("null", Json::as_str);
    serde_json::from_str(text).map_err(|error| {
        let what = if input.is_some() {
            "the input is not what this operation takes"
        } else {
            "this operation takes an input, and was launched without"
        };
        Failure::new(INVALID_INPUT, format!("{what}: {error}"))
    })
}

fn written<O: Serialize>(output: &O) -> Outcome {
    json_of("results", output).map_err(|error| Failure::new(INVALID_OUTPUT, error.to_string()))
}

async fn blocking(work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    #[cfg(feature = "tracing")]
    let span = tracing::Span::current();
    let work = move || {
        #[cfg(feature = "tracing")]
        let _entered = span.enter();
        catch_unwind(AssertUnwindSafe(work))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(payload)) => Err(Failure::of_panic(&*payload)),
        // It was not begun, since the runtime ends.
        Err(error) => Err(Failure::of(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Standing, in_process};
    use jobhook_protocol::{JobEnvironment, SecretKey};

    #[derive(serde::Deserialize, JsonSchema)]
    struct Input {
        n: u32,
    }

    fn job() -> (Job, in_process::Desk) {
        let environment = JobEnvironment {
            id: "a".to_owned(),
            secret_key: SecretKey::from_text("key").unwrap(),
            hook: "http://h".to_owned(),
            orchestrator: None,
            attempt: Some(1),
            traceparent: None,
        };
        in_process::open(environment, Standing::new("A"))
    }

    async fn called(operation: Operation, input: Option<&str>) -> Result<String, Failure> {
        let input = input.map(|text| Json::from_text(text.to_owned()).unwrap());
        let outcome = operation.call(job().0, input).await;
        outcome.map(|results| results.as_str().to_owned())
    }

    #[track_caller]
    fn failed(outcome: Result<String, Failure>, name: &str, says: &str) {
        let failure = outcome.unwrap_err();
        assert_eq!(failure.name, name);
        assert!(failure.message.contains(says), "{failure}");
    }

    fn double() -> [Operation; 2] {
        async fn later(_: Job, input: Input) -> anyhow::Result<u32> {
            Ok(input.n * 2)
        }
        fn now(_: Job, input: Input) -> anyhow::Result<u32> {
            Ok(input.n * 2)
        }
        [Operation::new("A", later), Operation::blocking("A", now)]
    }

    #[tokio::test]
    async fn a_function_has_its_input_and_returns_its_results() {
        for operation in double() {
            let outcome = called(operation, Some(r#"{"n":21}"#)).await;
            assert_eq!(outcome.unwrap(), "42");
        }
    }

    #[tokio::test]
    async fn an_input_that_does_not_fit_is_told_before_the_function_is_called() {
        for operation in double() {
            let outcome = called(operation.clone(), Some("{}")).await;
            failed(outcome, "invalid_input", "missing field `n`");
            let outcome = called(operation.clone(), None).await;
            failed(outcome, "invalid_input", "launched without");
            let deep = "[".repeat(10_000) + &"]".repeat(10_000);
            let deep = format!(r#"{{"n":{deep}}}"#);
            let deep: &serde_json::value::RawValue = serde_json::from_str(&deep).unwrap();
            let outcome = operation.call(job().0, Some(deep.into())).await;
            assert_eq!(outcome.unwrap_err().name, "invalid_input");
        }
    }

    #[tokio::test]
    async fn what_was_not_given_is_null() {
        async fn maybe(_: Job, input: Option<Input>) -> anyhow::Result<bool> {
            Ok(input.is_none())
        }
        let outcome = called(Operation::new("A", maybe), None).await;
        assert_eq!(outcome.unwrap(), "true");
    }

    #[tokio::test]
    async fn a_panic_is_caught_with_its_words() {
        #[allow(clippy::unused_async, reason = "it panics before it would wait")]
        async fn later(_: Job, input: Input) -> anyhow::Result<()> {
            panic!("{} is too many", input.n)
        }
        // This one panics before there is a future.
        fn before(_: Job, _: Input) -> std::future::Ready<anyhow::Result<()>> {
            panic!("too many")
        }
        fn now(_: Job, _: Input) -> anyhow::Result<()> {
            panic!("too many")
        }
        let later = Operation::new("A", later);
        let before = Operation::new("A", before);
        for operation in [later, before, Operation::blocking("A", now)] {
            let outcome = called(operation, Some(r#"{"n":3}"#)).await;
            failed(outcome, "panicked", "too many");
        }
    }

    #[tokio::test]
    async fn what_is_no_json_is_no_output() {
        async fn half(_: Job, _: ()) -> anyhow::Result<Vec<f64>> {
            Ok(vec![1.0, f64::NAN])
        }
        let outcome = called(Operation::new("A", half), None).await;
        failed(outcome, "invalid_output", "results[1]");
    }

    #[tokio::test]
    async fn the_job_is_the_current_one_inside_and_nowhere_else() {
        async fn later(job: Job, _: ()) -> anyhow::Result<bool> {
            tokio::task::yield_now().await;
            let outside = tokio::spawn(async { Job::current().is_none() }).await?;
            Ok(outside && Job::current().is_some_and(|current| current.id() == job.id()))
        }
        fn now(job: Job, _: ()) -> anyhow::Result<bool> {
            Ok(Job::current().is_some_and(|current| current.id() == job.id()))
        }
        for operation in [Operation::new("A", later), Operation::blocking("A", now)] {
            assert_eq!(called(operation, None).await.unwrap(), "true");
        }
        assert!(Job::current().is_none());
    }
}
