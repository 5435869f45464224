//! `jobhook operations`: what can be launched by name.

use clap::Args;
use jobhook_protocol::operation::{Definition, Definitions};

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Outcome};
use super::output::{Output, shown};
use crate::config::Surroundings;

/// List the operations that you may launch
#[derive(Debug, Args)]
pub(crate) struct Operations {
    /// Show the schemas of inputs and outputs, too
    #[arg(long)]
    full: bool,
    /// Print the definitions as JSON
    #[arg(long, conflicts_with = "full")]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(
    operations: Operations,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    let launcher = launcher(&operations.server, surroundings)?;
    let definitions = launcher.operations().await?;
    if operations.json {
        output.body(&definitions.text)?;
        return Ok(Exit::Success);
    }
    let lines = match operations.full {
        true => with_schemas(&definitions),
        false => table(&definitions),
    };
    for line in lines {
        output.line(&line)?;
    }
    output.flush()?;
    if definitions.operations.is_empty() {
        output.note("no operations, or none that you may launch");
    }
    Ok(Exit::Success)
}

/// Ids, and what goes in and comes out.
fn table(definitions: &Definitions) -> Vec<String> {
    let operations = definitions.operations.values();
    let width = operations
        .clone()
        .map(|operation| shown(&operation.id).chars().count());
    let width = width.max().unwrap_or_default();
    let row = |operation: &Definition| {
        let name = |name: &Option<String>| name.as_deref().map_or("any".into(), shown).into_owned();
        let (id, input) = (shown(&operation.id), name(&operation.input));
        let output = name(&operation.output);
        format!("{id:width$}  {input} → {output}")
    };
    operations.map(row).collect()
}

/// Each operation with its schemas under it.
fn with_schemas(definitions: &Definitions) -> Vec<String> {
    let mut lines = Vec::new();
    for operation in definitions.operations.values() {
        lines.push(shown(&operation.id).into_owned());
        for (word, name) in [("input", &operation.input), ("output", &operation.output)] {
            let schema = name.as_ref().and_then(|name| definitions.schemas.get(name));
            let Some(schema) = schema else {
                lines.push(format!("  {word}: any"));
                continue;
            };
            lines.push(format!("  {word}:"));
            let text = serde_json::to_string_pretty(schema).unwrap_or_default();
            lines.extend(text.lines().map(|line| format!("    {}", shown(line))));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_is_told_with_what_goes_in_and_comes_out() {
        let definitions: Definitions = serde_json::from_value(json!({
            "operations": {"Ping": {"id": "Ping"}, "Report.Generate": {"id": "Report.Generate", "input": "a"}},
            "schemas": {"a": {"type": "integer"}},
        }))
        .unwrap();
        assert_eq!(
            table(&definitions),
            ["Ping             any → any", "Report.Generate  a → any"]
        );
        assert_eq!(
            with_schemas(&definitions)[3..],
            [
                "Report.Generate",
                "  input:",
                "    {",
                "      \"type\": \"integer\"",
                "    }",
                "  output: any"
            ]
        );
    }
}
