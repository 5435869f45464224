//! `jobhook upload`, inside a job: leaves files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failure, Outcome};
use super::job::{FILES_EXIT_CODES, Worker};
use super::launch::json_argument;
use super::output::Output;
use super::place::Place;
use crate::config::{Surroundings, duration};

/// Inside a job: leave files with its action
///
/// Reads JOB_ID, JOB_SECRET_KEY, JOB_HOOK and JOB_ATTEMPT from the environment. Files go to the
/// action's own outputs unless --to says otherwise, and show up with `jobhook files`.
#[derive(Debug, Args)]
#[command(after_help = FILES_EXIT_CODES)]
pub(crate) struct Upload {
    /// The files; - for standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// What the file is called [default: as it is here]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its media type, such as text/csv
    #[arg(long, value_name = "TYPE")]
    mimetype: Option<String>,
    /// What else is known of it: a JSON object, @FILE for a file with JSON
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Where it goes, if not to the action's outputs: STORE/ID/PROPERTY
    #[arg(long, value_name = "PLACE")]
    to: Option<Place>,
    /// How long to go on trying if nobody answers
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    timeout: Duration,
}

pub(crate) async fn run(
    upload: Upload,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    if upload.paths.len() > 1 && upload.name.is_some() {
        return Err(Failure::usage("--name is for one file, and there are more"));
    }
    let metadata = upload
        .metadata
        .as_ref()
        .map(|text| json_argument("--metadata", text, surroundings.directory()));
    let metadata = metadata.transpose()?;
    let worker = Worker::new(surroundings, upload.timeout)?;
    for path in &upload.paths {
        let is_stdin = path.as_os_str() == "-";
        let mut wanted = if is_stdin {
            worker.job().upload_reader(tokio::io::stdin())
        } else {
            let path = surroundings.directory().join(path);
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let wanted = worker.job().upload(&path);
            match name.filter(|_| upload.name.is_none()) {
                Some(name) => wanted.name(name),
                None => wanted,
            }
        };
        if let Some(Place {
            store,
            id,
            property,
        }) = &upload.to
        {
            wanted = wanted.to_object(store, id, property);
        }
        if let Some(name) = &upload.name {
            wanted = wanted.name(name);
        }
        if let Some(mimetype) = &upload.mimetype {
            wanted = wanted.mimetype(mimetype);
        }
        if let Some(metadata) = &metadata {
            wanted = wanted.metadata_json(metadata.clone());
        }
        let sent = wanted.send_async().await;
        sent.map_err(|error| worker.failed("the upload", &error))?;
    }
    output.flush()?;
    Ok(Exit::Success)
}
