//! Whether a runner's command and user are there, as the start of a job would find them.
//!
//! What depends on the action (`${arguments.…}` in `cwd` or `PATH`) is not judged.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, User, access, geteuid};

use crate::config::{LocalRunner, Surroundings};

/// Where the system looks for programs if nobody says where.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Where the command lies, to be shown.
///
/// # Errors
///
/// A sentence with a way out.
pub(super) fn program_of(
    runner: &LocalRunner,
    config_dir: &Path,
    surroundings: &Surroundings,
) -> Result<String, String> {
    let command = &runner.command;
    let later = format!("{command}, found anew at each start");
    let filled = |text: &str| {
        let text = text.replace("${config_dir}", &config_dir.to_string_lossy());
        (!text.contains("${")).then_some(text)
    };
    let Some(cwd) = filled(runner.cwd.as_deref().unwrap_or_default()) else {
        // Where it starts decides nothing for a command with its whole path.
        return match Path::new(command).is_absolute() {
            true => judged(command.into()),
            false => Ok(later),
        };
    };
    let cwd = config_dir.join(cwd);
    if command.contains('/') {
        return judged(cwd.join(command));
    }
    let path = match runner.env.get("PATH") {
        Some(path) => filled(path),
        None => Some(surroundings.get("PATH").unwrap_or(DEFAULT_PATH).to_owned()),
    };
    let Some(path) = path else {
        return Ok(later);
    };
    std::env::split_paths(&path)
        .map(|folder| cwd.join(folder).join(command))
        .find(|path| is_program(path))
        .map(|path| path.display().to_string())
        .ok_or_else(|| {
            format!("there is no program `{command}` in its PATH; give its path, or put it there")
        })
}

fn judged(path: PathBuf) -> Result<String, String> {
    let shown = path.display().to_string();
    if is_program(&path) {
        Ok(shown)
    } else if path.is_file() {
        Err(format!(
            "`{shown}` may not be executed; `chmod +x` allows it"
        ))
    } else {
        Err(format!("there is no program `{shown}`"))
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

/// Whether this server could run a job as `name`, a user's name or number.
///
/// # Errors
///
/// A sentence that says what is missing.
pub(super) fn user_of(name: &str) -> Result<(), String> {
    let found = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    match found {
        Err(error) => Err(format!(
            "run_as: the user `{name}` cannot be looked up: {error}"
        )),
        Ok(None) => Err(format!("run_as: there is no user `{name}`")),
        Ok(Some(_)) if !geteuid().is_root() => Err(format!(
            "run_as: only a server that is root can run jobs as `{name}`"
        )),
        Ok(Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn runner(text: &str, directory: &Path) -> LocalRunner {
        let text = format!("[runners.any]\ntype = \"LocalRunner\"\n{text}");
        std::fs::write(directory.join("jobhook.toml"), text).unwrap();
        let surroundings = Surroundings::new(directory, []);
        let config = crate::config::Config::load(None, &surroundings).unwrap();
        let crate::config::RunnerKind::Local(runner) =
            config.runners.into_iter().next().unwrap().kind
        else {
            panic!("a LocalRunner was written");
        };
        *runner
    }

    #[test]
    fn a_command_is_looked_for_where_its_job_would_look() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tools/mine");
        std::fs::create_dir(folder.path().join("tools")).unwrap();
        std::fs::write(&program, "").unwrap();
        let find = |text: &str| {
            let surroundings = Surroundings::new(folder.path(), []);
            program_of(&runner(text, folder.path()), folder.path(), &surroundings)
        };
        let error = find("command = \"tools/mine\"").unwrap_err();
        assert!(error.contains("may not be executed"), "{error}");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let shown = Ok(program.display().to_string());
        assert_eq!(find("command = \"tools/mine\""), shown);
        assert_eq!(
            find("command = \"./mine\"\ncwd = \"${config_dir}/tools\"").map(PathBuf::from),
            Ok(folder.path().join("tools/./mine"))
        );
        assert_eq!(
            find("command = \"mine\"\nenv = { PATH = \"${config_dir}/tools\" }"),
            shown
        );
        assert!(
            find("command = \"mine\"")
                .unwrap_err()
                .contains("no program `mine` in its PATH")
        );
        assert!(find("command = \"./mine\"\ncwd = \"${workdir}\"").is_ok());
    }

    #[test]
    fn a_user_who_is_not_there_is_told() {
        assert_eq!(
            user_of("nobody-of-that-name"),
            Err("run_as: there is no user `nobody-of-that-name`".to_owned())
        );
        assert_eq!(user_of("0").is_ok(), geteuid().is_root());
    }
}
