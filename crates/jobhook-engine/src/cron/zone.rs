//! Time zones by name, from the system's database or, where there is none, from the program.

use jiff::tz::TimeZone;

use super::CronError;

/// The zone called `name`, and its name as the database spells it.
pub(super) fn find(name: &str) -> Result<(TimeZone, String), CronError> {
    let zone = jiff::tz::db()
        .get(name)
        .map_err(|_| CronError::UnknownTimezone {
            name: shortened(name),
            nearest: nearest(name),
        })?;
    let spelled = zone.iana_name().unwrap_or(name).to_owned();
    Ok((zone, spelled))
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The zone whose name, or whose city, is most like `name`.
fn nearest(name: &str) -> Option<String> {
    const ALIKE: f64 = 0.85;
    if name.len() > 64 {
        return None;
    }
    let asked = name.to_ascii_lowercase().replace(' ', "_");
    jiff::tz::db()
        .available()
        .map(|zone| {
            let known = zone.as_str().to_ascii_lowercase();
            let city = known.rsplit('/').next().unwrap_or(&known);
            let alike =
                strsim::jaro_winkler(&asked, &known).max(strsim::jaro_winkler(&asked, city));
            (alike, zone.as_str().to_owned())
        })
        .filter(|(alike, zone)| *alike >= ALIKE && zone != "posixrules")
        // Of two that are alike, the first of the alphabet.
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))
        .map(|(_, zone)| zone)
}
