//! Adds up sales by region: one function with a typed input and output.
//!
//! You see: a log line for each region, the progress, then the results
//! `{"total": ..., "regions": {...}}`. A sale below zero is an ERROR `NoReport` that says which
//! one it is. An input of another shape is an ERROR `invalid_input`, and a server that knows
//! the definitions does not even launch it.
//!
//! The point: the function does not know where it runs. `main` makes a child process of it; a
//! server can have it in itself; a test calls it.
//!
//! ```text
//! cargo build -p jobhook-server -p rust-operation && export PATH="$PWD/target/debug:$PATH"
//! rust-operation operations
//! jobhook serve --config examples/jobhook.toml
//! jobhook launch Report.Generate --follow \
//!     --arguments '{"sales": [{"region": "north", "cents": 250}, {"region": "south", "cents": 100}]}'
//! ```

use std::collections::BTreeMap;

use jobhook::{Job, Operations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be added up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    sales: Vec<Sale>,
}

/// One sale.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sale {
    region: String,
    cents: i64,
}

/// The report.
#[derive(Serialize, JsonSchema)]
pub struct Output {
    total: i64,
    regions: BTreeMap<String, i64>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// A sale cannot be that.
    #[error("sale {number} in {region} is below zero: {cents}")]
    NegativeSale {
        /// The how-manyeth it is, from 1.
        number: usize,
        /// Where.
        region: String,
        /// How much.
        cents: i64,
    },
    /// Nobody wants it any more.
    #[error("asked to stop after {0} sales")]
    Cancelled(usize),
    /// The job may say no more.
    #[error(transparent)]
    Job(#[from] jobhook::Error),
}

/// The operations of this program.
pub fn operations() -> Operations {
    Operations::new()
        .application(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .operation("Report.Generate", generate)
}

/// Adds up the sales.
///
/// # Errors
///
/// A sale below zero, and the wish to stop.
pub async fn generate(job: Job, input: Input) -> Result<Output, NoReport> {
    tracing::info!(sales = input.sales.len(), "adding up");
    let mut regions = BTreeMap::new();
    for (done, sale) in input.sales.iter().enumerate() {
        if job.is_cancelled() {
            return Err(NoReport::Cancelled(done));
        }
        let Sale { region, cents } = sale;
        if *cents < 0 {
            return Err(NoReport::NegativeSale {
                number: done + 1,
                region: region.clone(),
                cents: *cents,
            });
        }
        *regions.entry(region.clone()).or_insert(0) += cents;
        job.progress(done + 1, input.sales.len())?;
        // Others have their turn, too.
        tokio::task::yield_now().await;
    }
    for (region, cents) in &regions {
        job.log(format!("{region}: {cents}"))?;
    }
    let total = regions.values().sum();
    Ok(Output { total, regions })
}
