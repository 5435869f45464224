//! Each mistake has its own message, with its place. What the sections mean is tested where
//! they are used.

use crate::tokens::{Scope, TokenHash};
use std::time::Duration;

use super::*;

pub(super) fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("jobhook.toml"), text).unwrap();
    let surroundings = Surroundings::new(directory.path(), variables.iter().copied());
    Config::load(None, &surroundings)
}

#[track_caller]
pub(super) fn refused(text: &str, message: &str) {
    let error = load(text, &[]).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::load(None, &Surroundings::new(directory.path(), [])).unwrap();
    assert_eq!(config.server.listen, DEFAULT_LISTEN);
    assert_eq!(config.hook.url, "/async");
    assert_eq!(config.hook.max_clock_skew, Some(Duration::from_secs(300)));
    assert_eq!(config.limits.hook_body, 10 << 20);
    assert_eq!(config.file, None);
    assert_eq!(config.directory, directory.path());
    assert!(config.runners.is_empty());
}

#[test]
fn every_section_is_read() {
    let config = load(
        r#"
        [server]
        listen = "localhost:9000"
        public_url = "https://jobs.example.org/"
        data_dir = "data"
        [hook]
        url = "/hook"
        signature = "v1"
        max_clock_skew = "off"
        [limits]
        log_lines = 10
        log_bytes = "1MiB"
        arguments = 4096
        [[auth.tokens]]
        name = "ops"
        sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
        scope = "operate"
        claims = { roles = ["ops"], level = 3, org = { unit = "a" } }
        [store]
        kind = "sqlite"
        [operations]
        files = ["ops.json"]
        [scheduler]
        resolution = "1m"
        [retention]
        error = { age = "off", count = 5 }
        [housekeeping]
        prune = "@daily"
        runs = "off"
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.hook.signature, Signature::V1);
    let five = Some(Keep {
        age: None,
        count: Some(5),
    });
    assert_eq!(config.retention.error, five);
    let prune = config.housekeeping.prune.as_ref().unwrap();
    assert_eq!(prune.expression(), "@daily");
    assert_eq!(config.housekeeping.runs, None);
    assert_eq!(config.hook.max_clock_skew, None);
    assert_eq!(config.limits.log_bytes, 1 << 20);
    assert_eq!(config.limits.arguments, 4096);
    assert_eq!(config.auth.tokens[0].scope, Scope::Operate);
    assert_eq!(config.auth.tokens[0].sha256, TokenHash::of(b""));
    assert_eq!(
        serde_json::Value::from(config.auth.tokens[0].claims.clone()),
        serde_json::json!({"roles": ["ops"], "level": 3, "org": {"unit": "a"}})
    );
    assert_eq!(config.operations.files, [Path::new("ops.json")]);
    assert_eq!(config.scheduler.resolution, Duration::from_secs(60));
    assert_eq!(
        config.hook_address(config.server.listen),
        "https://jobs.example.org/hook"
    );
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion_and_its_place() {
    refused(
        "[server]\n  lisen = \"127.0.0.1:1\"\n",
        "jobhook.toml:2:3: unknown key `lisen` in [server]; did you mean `listen`?",
    );
    refused(
        "[runers.any]\n",
        "jobhook.toml:1:2: unknown key `runers`; did you mean `runners`?",
    );
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"true\"\ncolour = 1\n",
        "jobhook.toml:4:1: unknown key `colour` in [runners.any]",
    );
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"true\"\n[runners.any.limits]\nmemmory = 1\n",
        "jobhook.toml:5:1: unknown key `memmory` in [runners.any.limits]; did you mean `memory`?",
    );
}

#[test]
fn a_key_that_is_set_twice_is_refused() {
    refused(
        "[server]\nlisten = \"[::1]:1\"\nlisten = \"[::1]:2\"\n",
        "jobhook.toml:3:1: `listen` is set twice",
    );
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\nautoStatus = true\nauto_status = true\n",
        "jobhook.toml:5:1: runners.any: `auto_status` is given twice, under two names",
    );
}

#[test]
fn a_bad_duration_is_refused() {
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\ngrace = \"ten\"\n",
        "jobhook.toml:4:9: runners.any.grace: `ten` is not a duration such as \"250ms\", \"30s\", \"5m\", \"1h\" or \"2d\"",
    );
    refused(
        "[hook]\nmax_clock_skew = 300\n",
        "jobhook.toml:2:18: hook.max_clock_skew: expected a duration such as \"5m\", or \"off\", found integer `300`",
    );
}

#[test]
fn a_bad_size_is_refused() {
    refused(
        "[limits]\nlog_bytes = \"64 megs\"\n",
        "jobhook.toml:2:13: limits.log_bytes: `64 megs` is not a size such as \"512KiB\", \"64MiB\" or a number of bytes",
    );
}

#[test]
fn a_bad_address_is_refused() {
    refused(
        "[server]\nlisten = \"8088\"\n",
        "jobhook.toml:2:10: server.listen: `8088` is not an address with a port, such as \"127.0.0.1:8088\", \"[::1]:8088\" or \"localhost:8088\"",
    );
    refused(
        "[server]\npublic_url = \"jobs.example.org\"\n",
        "jobhook.toml:2:14: server.public_url: `jobs.example.org` is not an http or https address without a query, such as \"https://jobs.example.org\"",
    );
    refused(
        "[hook]\nurl = \"/api/hook\"\n",
        "jobhook.toml:2:7: hook.url: `/api/hook` is taken: /api has a meaning of its own",
    );
    refused(
        "[hook]\nurl = \"async/\"\n",
        "jobhook.toml:2:7: hook.url: `async/` is not a path such as \"/async\": it begins with a slash, does not end with one and has no query",
    );
}

#[test]
fn a_store_that_is_not_there_is_refused() {
    refused(
        "[store]\nkind = \"postgres\"\n",
        "jobhook.toml:2:8: store.kind: `postgres` is not available in this version; the only kind of store is \"sqlite\"",
    );
}

#[test]
fn a_section_of_a_later_version_is_refused_as_such() {
    refused(
        "[keys.nightly]\ncron = \"0 0 * * *\"\n",
        "jobhook.toml:1:2: [keys] is not available in this version",
    );
}

#[test]
fn a_token_that_is_no_hash_is_refused_and_not_shown() {
    let error = load(
        "[[auth.tokens]]\nname = \"a\"\nsha256 = \"jh_secret\"\nscope = \"read\"\n",
        &[],
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.starts_with("jobhook.toml:3:10: auth.tokens.sha256: this is not the SHA-256"),
        "{error}"
    );
    assert!(!error.contains("jh_secret"), "{error}");
}

#[test]
fn tokens_have_names_of_their_own_and_known_scopes() {
    let token = |name, scope| {
        format!(
            "[[auth.tokens]]\nname = \"{name}\"\nscope = \"{scope}\"\nsha256 = \"{:064}\"\n",
            0
        )
    };
    let error = |text: String| load(&text, &[]).unwrap_err().to_string();
    assert!(
        error([token("a", "read"), token("a", "admin")].concat())
            .ends_with("auth.tokens: two tokens are named `a`; each needs a name of its own")
    );
    assert!(
        error(token("a", "raed")).ends_with(
            "`raed` is none of `read`, `launch`, `operate`, `admin`; did you mean `read`?"
        )
    );
}

#[test]
fn a_token_says_its_own_name_and_scope() {
    let text = format!(
        "[[auth.tokens]]\nname = \"a\"\nscope = \"read\"\nsha256 = \"{:064}\"\nclaims = {{ scope = \"admin\" }}\n",
        0
    );
    let error = load(&text, &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("jobhook.toml:5:1: auth.tokens.claims: the claim `scope` is"),
        "{error}"
    );
}

#[test]
fn a_resolution_is_a_span_from_a_millisecond_to_a_day() {
    let resolution = |value: &str| {
        let config = load(&format!("[scheduler]\n{value}\n"), &[]);
        config.map(|config| config.scheduler.resolution.as_millis())
    };
    assert_eq!(resolution("resolution = \"250ms\"").unwrap(), 250);
    assert_eq!(resolution("schedulerResolution = 60000").unwrap(), 60_000);
    assert_eq!(load("", &[]).unwrap().scheduler.resolution.as_secs(), 1);
    for wrong in ["\"0ms\"", "0", "-1", "\"2d\"", "true", "1.5", "\"soon\""] {
        let error = resolution(&format!("resolution = {wrong}"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("jobhook.toml:2:14: scheduler.resolution: "),
            "{error}"
        );
    }
}

#[test]
fn what_is_not_toml_is_refused_with_its_place() {
    let error = load("[server]\nlisten = \n", &[]).unwrap_err().to_string();
    assert!(error.starts_with("jobhook.toml:2:"), "{error}");
    assert!(error.contains("not TOML"), "{error}");
}

#[test]
fn a_wrong_kind_of_value_is_refused() {
    refused(
        "[limits]\nlog_lines = \"many\"\n",
        "jobhook.toml:2:13: limits.log_lines: expected u64, found string \"many\"",
    );
    refused(
        "runners = 3\n",
        "jobhook.toml:1:1: runners: runners are sections with names, as in [runners.any]",
    );
}

#[test]
fn a_variable_goes_over_the_file() {
    let config = load(
        "[server]\nlisten = \"127.0.0.1:1\"\n[runners.Any]\ntype = \"LocalRunner\"\ncommand = \"a\"\nenv = { A = \"1\" }\n",
        &[
            ("JOBHOOK__SERVER__LISTEN", "127.0.0.1:2"),
            ("JOBHOOK__HOOK__MAX_CLOCK_SKEW", "off"),
            ("JOBHOOK__RUNNERS__ANY__COMMAND", "7"),
            ("JOBHOOK__RUNNERS__ANY__ARGS", "[\"x\", \"y\"]"),
            ("JOBHOOK__RUNNERS__ANY__ENV__Path", "/bin"),
            ("JOBHOOK__RUNNERS__ANY__ENV__a__b", "c"),
            ("JOBHOOK__RUNNERS__ANY__AUTO_STATUS", "false"),
            ("JOBHOOK_URL", "ignored"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.hook.max_clock_skew, None);
    assert_eq!(config.runners.len(), 1);
    let RunnerKind::Local(runner) = &config.runners[0].kind else {
        panic!("a LocalRunner was written");
    };
    assert_eq!(runner.command, "7");
    assert_eq!(runner.args, ["x", "y"]);
    assert!(!runner.auto_status);
    let env: Vec<(&str, &str)> = runner
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("A", "1"), ("Path", "/bin"), ("a__b", "c")]);
}

#[test]
fn a_wrong_variable_is_named() {
    let error = |name, value| load("", &[(name, value)]).unwrap_err().to_string();
    assert_eq!(
        error("JOBHOOK__SERVER__LISEN", "x"),
        "JOBHOOK__SERVER__LISEN: unknown key `lisen` in [server]; did you mean `listen`?"
    );
    assert_eq!(
        error("JOBHOOK__LIMITS__LOG_LINES", "many"),
        "JOBHOOK__LIMITS__LOG_LINES: limits.log_lines: expected u64, found string \"many\""
    );
    assert_eq!(
        error("JOBHOOK__SERVER____X", "1"),
        "JOBHOOK__SERVER____X: a variable is named JOBHOOK__SECTION__KEY, with two underscores between the parts"
    );
}

#[test]
fn a_file_that_is_named_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("JOBHOOK_CONFIG", "there.toml")];
    let surroundings = Surroundings::new(directory.path(), variables);
    let error = Config::load(None, &surroundings).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration file there.toml cannot be read"
    );

    std::fs::write(
        directory.path().join("there.toml"),
        "[limits]\nlog_lines = 7\n",
    )
    .unwrap();
    assert_eq!(
        Config::load(None, &surroundings).unwrap().limits.log_lines,
        7
    );

    let flag = Path::new("here.toml");
    assert!(Config::load(Some(flag), &surroundings).is_err());
    std::fs::write(
        directory.path().join("here.toml"),
        "[limits]\nlog_lines = 8\n",
    )
    .unwrap();
    let config = Config::load(Some(flag), &surroundings).unwrap();
    assert_eq!(config.limits.log_lines, 8);
    assert_eq!(config.file, Some(directory.path().join("here.toml")));
}

#[test]
fn without_tokens_nobody_else_may_reach_the_server_and_no_runner_has_another_user() {
    let run_as = "[runners.a]\ntype = \"LocalRunner\"\ncommand = \"true\"\nrun_as = \"nobody\"\n";
    for (text, why) in [
        ("[server]\nlisten = \"0.0.0.0:80\"\n", "0.0.0.0:80 can be"),
        (
            "[server]\npublic_url = \"https://jobs.example.org\"\n",
            "server.public_url is `https://jobs.example.org`",
        ),
        (run_as, "runners.a has `run_as`"),
    ] {
        let config = load(text, &[]).unwrap();
        let error = config.may_serve(false).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
        assert!(error.contains("jobhook token create NAME --scope admin"));
        assert_eq!(config.may_serve(true), Ok(()));
    }
    let own = load("[server]\npublic_url = \"http://localhost:8088\"\n", &[]).unwrap();
    assert_eq!(own.may_serve(false), Ok(()));
}
