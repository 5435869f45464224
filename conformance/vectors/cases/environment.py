"""environment.json: what a client makes of the variables it is given."""

from .signing import ID, KEY

def environment_cases():
    cases = []
    hook = "http://127.0.0.1:8088/async"
    base = {"JOB_ID": ID, "JOB_SECRET_KEY": KEY, "JOB_HOOK": hook}
    first = base | {"JOB_ATTEMPT": "1"}

    def add(name, why, vars, expect):
        cases.append({"name": name, "why": why, "vars": vars, "expect": expect})

    def good(name, why, vars, **changed):
        add(name, why, vars, {"id": ID, "key": KEY, "hook": hook} | changed)

    def bad(name, why, vars, error, names):
        add(name, why, vars, {"error": error, "names": names})

    good("profile webda", "the three variables of the original; without JOB_ATTEMPT a client speaks webda", base,
         profile="webda")
    good("profile v1", "JOB_ATTEMPT says that the server understands v1", first, attempt=1, profile="v1")
    good("everything", "all variables of the protocol; others are none of its business",
         first | {"JOB_ORCHESTRATOR": "JobhookServer", "TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                  "PATH": "/usr/bin:/bin", "JOB_COLOUR": "blue"},
         attempt=1, profile="v1", orchestrator="JobhookServer",
         traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    good("orchestrator of the original", "the original sets JOB_ORCHESTRATOR too", base | {"JOB_ORCHESTRATOR": "AsyncService"},
         profile="webda", orchestrator="AsyncService")
    good("empty optional variables", "an empty value counts as missing, so this is profile webda",
         base | {"JOB_ATTEMPT": "", "JOB_ORCHESTRATOR": "", "TRACEPARENT": ""}, profile="webda")
    good("later attempt", "attempts are counted in decimal", base | {"JOB_ATTEMPT": "12"}, attempt=12, profile="v1")
    good("greatest attempt", "attempts are numbered up to 2^32 - 1", base | {"JOB_ATTEMPT": "4294967295"},
         attempt=4_294_967_295, profile="v1")
    good("hook with a slash at its end", "`{hook}/status` must not have two slashes", first | {"JOB_HOOK": hook + "/"},
         attempt=1, profile="v1")
    good("hook at the root", "the slash is removed there too", first | {"JOB_HOOK": "http://127.0.0.1:8088/"},
         attempt=1, profile="v1", hook="http://127.0.0.1:8088")
    good("hook without a path", "an address needs no path", first | {"JOB_HOOK": "http://127.0.0.1:8088"},
         attempt=1, profile="v1", hook="http://127.0.0.1:8088")
    good("hook over https", "https, default port, longer path", first | {"JOB_HOOK": "https://jobs.example.org/a/b/async"},
         attempt=1, profile="v1", hook="https://jobs.example.org/a/b/async")
    good("hook with an IPv6 address", "the brackets belong to the host", first | {"JOB_HOOK": "http://[::1]:8088/async"},
         attempt=1, profile="v1", hook="http://[::1]:8088/async")
    for key in ("cl\u00e9", "\u00ff", "a\u0080z"):
        good(f"key {ascii(key)}", "every character up to U+00FF is one byte of the key", base | {"JOB_SECRET_KEY": key},
             key=key, profile="webda")
    good("shortest id", "one character", base | {"JOB_ID": "a"}, id="a", profile="webda")
    good("longest id", "64 characters", base | {"JOB_ID": "a" * 64}, id="a" * 64, profile="webda")

    bad("nothing set", "started by hand; the first variable of the table is named", {}, "missing_variable", "JOB_ID")
    for name in base:
        bad(f"no {name}", "the error names what is missing", {n: v for n, v in first.items() if n != name},
            "missing_variable", name)
        bad(f"empty {name}", "an empty value counts as missing", first | {name: ""}, "missing_variable", name)
    bad("names in lower case", "names are exact", {name.lower(): value for name, value in base.items()},
        "missing_variable", "JOB_ID")
    for value, why in (
        ("store", "`store` is what the original hands to code in its own process, and no address"),
        ("/async", "an absolute URL is required"),
        ("127.0.0.1:8088/async", "the scheme is missing"),
        ("localhost:8088/async", "`localhost:` would be the scheme"),
        ("ftp://127.0.0.1/async", "http or https"),
        ("unix:/run/jobhook.sock", "http or https"),
        ("http://", "no host"),
        ("http:///async", "no host"),
        ("http://127.0.0.1:notaport/async", "no URL"),
        ("http://127.0.0.1:8088/async?x=1", "paths are added at the end, so a query cannot stand there"),
        ("http://127.0.0.1:8088/async#x", "paths are added at the end, so a fragment cannot stand there"),
    ):
        bad(f"hook {value}", why, first | {"JOB_HOOK": value}, "invalid_variable", "JOB_HOOK")
    for value, why in (
        ("0", "attempts are numbered from 1"),
        ("-1", "attempts are numbered from 1"),
        ("1.5", "a whole number"),
        ("two", "decimal digits"),
        ("0x1", "decimal digits"),
        ("1 2", "one number"),
        ("4294967296", "one too many: 2^32"),
        ("99999999999999999999", "beyond 64 bits"),
    ):
        bad(f"attempt {value}", why, base | {"JOB_ATTEMPT": value}, "invalid_variable", "JOB_ATTEMPT")
    bad("key outside latin-1", "no byte stands for the euro sign", first | {"JOB_SECRET_KEY": "\u20acuro"},
        "invalid_variable", "JOB_SECRET_KEY")
    for value, why in (
        ("a b", "a space is not an id character"),
        ("../x", "an id is not a path"),
        ("caf\u00e9", "ids are ASCII"),
        ("a" * 65, "one character too long"),
    ):
        bad(f"id {value[:8]}" + (" (65 characters)" if len(value) > 64 else ""), why, first | {"JOB_ID": value},
            "invalid_variable", "JOB_ID")
    return cases


ENVIRONMENT = {
    "what": "What a client makes of its environment: docs/protocol.md, ENV.",
    "fields": {
        "vars": "the whole environment",
        "expect": "what the client knows then (absent: not set), or the error's code and the variable it names",
    },
}
