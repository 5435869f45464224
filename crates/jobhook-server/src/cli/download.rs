//! `jobhook download`, inside a job: takes files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jobhook::{Error, local_names_of};
use jobhook_protocol::Code;

use super::exit::{Exit, Outcome};
use super::files::make_directory;
use super::job::{FILES_EXIT_CODES, Worker};
use super::output::Output;
use super::place::Place;
use crate::config::{Surroundings, duration};

/// Inside a job: take files of its action
///
/// Without a number, all that the action was launched with. Prints the path of each. Files that
/// share a name have their number before it. In a directory, what is there already with other
/// contents is left alone, and ends it.
#[derive(Debug, Args)]
#[command(after_help = FILES_EXIT_CODES)]
pub(crate) struct Download {
    /// Its number, from 0 [default: all]
    #[arg(value_name = "NUMBER")]
    index: Option<u64>,
    /// The directory it goes to, made if it is not there; with a number the file, which is replaced,
    /// unless a directory is there or it ends with `/`
    #[arg(long, short, value_name = "PATH", default_value = ".")]
    out: PathBuf,
    /// Where it is, if not among the action's inputs: STORE/ID/PROPERTY
    #[arg(long, value_name = "PLACE")]
    from: Option<Place>,
    /// How long to go on trying if nobody answers
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    timeout: Duration,
}

pub(crate) async fn run(
    download: Download,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    let worker = Worker::new(surroundings, download.timeout)?;
    let wanted = |index: u64| {
        let wanted = worker.job().download(index);
        match &download.from {
            Some(Place {
                store,
                id,
                property,
            }) => wanted.from_object(store, id, property),
            None => wanted,
        }
    };
    let failed = |error: Error| worker.failed("the download", &error);
    let out = surroundings.directory().join(&download.out);
    let is_directory = out.as_os_str().as_encoded_bytes().ends_with(b"/");
    let out: PathBuf = out.components().collect();
    if is_directory {
        make_directory("--out", &out)?;
    }
    match download.index {
        Some(index) => {
            let wanted = wanted(index);
            let came = match out.is_dir() {
                true => wanted.to_directory_async(&out).await,
                false => wanted.to_file_async(&out).await,
            };
            output.line(&came.map_err(failed)?.path.display().to_string())?;
        }
        None => {
            let mut found = Vec::new();
            for index in 0.. {
                match wanted(index).look_async().await {
                    Ok(map) => found.push(map),
                    Err(Error::Refused(problem))
                        if index > 0 && problem.code == Code::FileNotFound.as_str() =>
                    {
                        break;
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
            make_directory("--out", &out)?;
            for (index, name) in (0..).zip(local_names_of(&found)) {
                let came = wanted(index).to_new_file_async(out.join(name)).await;
                output.line(&came.map_err(failed)?.path.display().to_string())?;
            }
        }
    }
    output.flush()?;
    Ok(Exit::Success)
}
