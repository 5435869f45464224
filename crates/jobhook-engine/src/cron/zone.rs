//! Time zones by name, from the system's database or, where there is none, from the program.

use jiff::tz::TimeZone;

use super::CronError;

/// Names that systems have beside those of zones: what they mean depends on the machine, or is
/// that nobody has said yet.
const NO_ZONES: [&str; 4] = ["localtime", "posixrules", "factory", "etc/unknown"];

/// Folders of some systems, with the same zones by other rules.
const OTHER_RULES: [&str; 2] = ["posix/", "right/"];

/// The zone called `name`, and its name as the database spells it.
pub(super) fn find(name: &str) -> Result<(TimeZone, String), CronError> {
    if is_of_the_machine(name) {
        let name = shortened(name);
        return Err(CronError::MachineTimezone { name });
    }
    let zone = jiff::tz::db()
        .get(name)
        .map_err(|_| CronError::UnknownTimezone {
            name: shortened(name),
            nearest: nearest(name),
        })?;
    let spelled = zone.iana_name().unwrap_or(name).to_owned();
    Ok((zone, spelled))
}

fn is_of_the_machine(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NO_ZONES.contains(&name.as_str()) || OTHER_RULES.iter().any(|folder| name.starts_with(folder))
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
        .filter(|(alike, zone)| *alike >= ALIKE && !is_of_the_machine(zone))
        // Of two that are alike, the first of the alphabet.
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))
        .map(|(_, zone)| zone)
}
