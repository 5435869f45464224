//! `jobhook files`: what an action was launched with and what it left, and the way to have it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use jobhook::local_names;
use jobhook_protocol::FileBody;

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Failure, Outcome};
use super::output::{Output, shown};
use crate::config::Surroundings;

/// List the files of an action, or download what it left
///
/// With --download the files of the property `outputs`, or of --property, go to a directory, and
/// the path of each is printed. Files that share a name have their number before it. What is there
/// already with other contents is left alone, and ends it.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The action's id
    #[arg(value_name = "ID")]
    id: String,
    /// The directory that the files go to; made if it is not there
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
    /// Only this property: inputs or outputs
    #[arg(long, value_name = "NAME")]
    property: Option<String>,
    /// Print the list as JSON, one page after the other
    #[arg(long, conflicts_with = "download")]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(files: Files, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let launcher = launcher(&files.server, surroundings)?;
    let mut found: Vec<FileBody> = Vec::new();
    let mut cursor = None;
    loop {
        let page = launcher.files(&files.id, cursor.as_deref()).await?;
        if files.json {
            output.body(&page.text)?;
        }
        cursor = page.next.clone();
        found.extend(page.body.files);
        if cursor.is_none() {
            break;
        }
    }
    let default = files.download.as_ref().map(|_| "outputs".to_owned());
    let mut nothing = "no files".to_owned();
    if let Some(property) = files.property.or(default) {
        let has: BTreeSet<String> = found.iter().map(|file| file.property.clone()).collect();
        found.retain(|file| file.property == property);
        if !has.is_empty() {
            let has: Vec<_> = has.iter().map(|property| shown(property)).collect();
            nothing = format!("no {}; there are {}", shown(&property), has.join(" and "));
        }
    }
    match files.download {
        _ if files.json => {}
        Some(directory) => {
            let directory = surroundings.directory().join(directory);
            make_directory("--download", &directory)?;
            for (file, name) in found.iter().zip(local_names(&found)) {
                let path = directory.join(name);
                launcher.download_new(&files.id, file, &path).await?;
                output.line(&shown(&path.display().to_string()))?;
            }
        }
        None => {
            for line in table(&found) {
                output.line(&line)?;
            }
        }
    }
    output.flush()?;
    if found.is_empty() && !files.json {
        output.note(&nothing);
    }
    Ok(Exit::Success)
}

/// Makes the directory that an option names, if it is not there.
pub(super) fn make_directory(option: &str, directory: &Path) -> Result<(), Failure> {
    let refused = |reason: &dyn std::fmt::Display| {
        let place = directory.display().to_string();
        Failure::usage(format_args!("{option}: {}: {reason}", shown(&place)))
    };
    if directory.exists() && !directory.is_dir() {
        return Err(refused(&"it is a file, and no directory"));
    }
    std::fs::create_dir_all(directory).map_err(|error| refused(&error))
}

fn table(files: &[FileBody]) -> Vec<String> {
    if files.is_empty() {
        return Vec::new();
    }
    let row = |file: &FileBody| {
        let name = file.name.as_deref().unwrap_or("-");
        [
            format!("{}/{}", shown(&file.property), file.index),
            size(file.size),
            shown(&file.mimetype).into_owned(),
            shown(name).replace('\t', "\\t"),
        ]
    };
    let head = ["FILE", "SIZE", "TYPE", "NAME"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(files.iter().map(row)).collect();
    let width = |column: usize| {
        let widths = rows
            .iter()
            .map(|row: &[String; 4]| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (place, bytes, kind) = (width(0), width(1), width(2));
    let line = |[file, size, mimetype, name]: &[String; 4]| {
        format!("{file:place$}  {size:>bytes$}  {mimetype:kind$}  {name}")
    };
    rows.iter().map(line).collect()
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"KiB");
    for next in units {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    format!("{number:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_short_and_right() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    fn file(index: u64, size: u64, name: &str) -> FileBody {
        FileBody {
            property: "outputs".into(),
            index,
            name: Some(name.into()),
            mimetype: "text/csv".into(),
            size,
            md5: jobhook_protocol::Md5Sum([0; 16]),
            sha256: jobhook_protocol::Sha256Sum([0; 32]),
            metadata: None,
            attempt: Some(1),
            created_at: "2025-11-24T16:00:00.000Z".into(),
        }
    }

    #[test]
    fn files_stand_in_columns_and_names_are_no_lines() {
        let expected = "\
FILE          SIZE  TYPE      NAME
outputs/0      4 B  text/csv  a.csv
outputs/1  2.0 KiB  text/csv  b\\u{1b}[2J.csv";
        let shown = table(&[file(0, 4, "a.csv"), file(1, 2048, "b\u{1b}[2J.csv")]);
        assert_eq!(shown.join("\n"), expected);
    }
}
