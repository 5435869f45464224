#!/usr/bin/env python3
"""Checks jobhook.sh in each shell of this machine, against a hook made here.

What a running server cannot easily show: lost answers, the wish to stop, the
signature vectors, and that no program ever gets the key as an argument.

    python3 examples/shell-curl/check.py
"""

import concurrent.futures
import hashlib
import hmac
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent.parent / "conformance" / "vectors" / "signature.json"
SHELLS = [s for s in ("sh", "dash", "bash", "mksh", "yash", "busybox sh") if shutil.which(s.split()[0])]
KEY = "36" * 32
CUT = "cut the connection"


class Hook:
    """Answers by a list of (status, body), verifies signatures, keeps the reports."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.reports = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = hook.take(self.path, self.headers, body)
                if status == CUT:
                    self.connection.close()
                    return
                payload = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/async"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def take(self, path, headers, body):
        time = headers["X-Job-Time"]
        digest = hashlib.sha256(body).hexdigest()
        signature = "v1=" + sign(KEY, f"v1\njob-1\n{time}\nPOST\n/status\n{digest}")
        if headers["X-Job-Signature"] != signature or headers["X-Job-Hash"] != sign(KEY, f"v1\n{time}"):
            return 403, {"code": "bad_signature"}
        if path != "/async/status":
            return 404, {"code": "not_found"}
        self.reports.append(json.loads(body))
        return self.answers.pop(0) if self.answers else (200, {"uuid": "job-1", "status": "RUNNING"})


def sign(key, text):
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def run(shell, script, hook="http://127.0.0.1:9", key=KEY, path=os.environ["PATH"], given=b""):
    environment = {
        "PATH": path, "JOB_ID": "job-1", "JOB_HOOK": hook, "JOB_ATTEMPT": "1", "JOB_SECRET_KEY": key,
    }
    return subprocess.run(
        [*shell.split(), "-c", f'. "{HERE}/jobhook.sh"\n{script}'],
        env=environment, input=given, capture_output=True, timeout=120,
    )


def signs_as_the_vectors_say(shell):
    seen = 0
    for case in json.loads(VECTORS.read_text())["cases"]:
        signature = case.get("headers", {}).get("X-Job-Signature")
        if case["expect"] != "accepted" or not signature or "body_base64" in case:
            continue
        if not case["key"].isascii() or len(case["key"]) > 64:
            continue  # jobhook's own keys are 64 hex digits; jobhook.sh takes no others
        digest = hashlib.sha256(case.get("body", "").encode()).hexdigest()
        text = "\n".join(["v1", case["id"], case["time"], case["method"], case["target"], digest])
        done = run(shell, "hmac_hex", key=case["key"], given=text.encode())
        assert f"v1={done.stdout.decode().strip()}" == signature, (case["name"], done)
        seen += 1
    assert seen > 0, "no vector fits"


def any_text_becomes_a_json_string(shell):
    texts = [
        "", "plain", 'a "quoted" \\word\\ \t\x01\x1f\x7f', "two\nlines", "$(id) `id` %s \\n", "é < & > 日本 😀",
    ]
    for text in texts:
        done = run(shell, "json_string", given=text.encode())
        assert json.loads(done.stdout) == text, done
    done = run(shell, "json_string", given=b"not \xff utf-8")
    assert json.loads(done.stdout) == "not  utf-8", done


def a_lost_answer_is_sent_again_with_the_same_number(shell):
    with Hook((CUT, None), (503, {"code": "store_unavailable"})) as hook:
        done = run(shell, "say one; say two", hook.url)
        assert done.returncode == 0, done
        assert [report["seq"] for report in hook.reports] == [1, 1, 1, 2], hook.reports
        assert len({report["reporter"] for report in hook.reports}) == 1
        assert hook.reports[-1]["logs"] == ["two"]


def a_job_that_should_stop_stops(shell):
    words = {"uuid": "job-1", "arguments": {"action": "STOP"}}
    with Hook((200, words), (200, words | {"action": "STOP"})) as hook:
        done = run(shell, "say one; say two; say three", hook.url)
        assert done.returncode == 143, done
        assert len(hook.reports) == 2, hook.reports


def a_refused_report_ends_the_job_and_says_why(shell):
    with Hook((409, {"code": "illegal_transition"})) as hook:
        done = run(shell, "say one; say two", hook.url)
        assert done.returncode == 77 and b"illegal_transition" in done.stderr, done
        assert len(hook.reports) == 1


def a_missing_variable_is_named(shell):
    done = run(shell, "say one", hook="")
    assert done.returncode == 64 and b"JOB_HOOK" in done.stderr, done


def no_program_is_given_the_key(shell):
    with tempfile.TemporaryDirectory() as shims, Hook() as hook:
        calls = Path(shims, "calls")
        programs = "awk cat curl cut date expr iconv od openssl printf sed sleep tr".split()
        for program in filter(shutil.which, programs):
            shim = Path(shims, program)
            # Every argument list goes to the file, then the real program runs.
            shim.write_text(f'#!/bin/sh\necho "{program} $*" >>{calls}\nexec {shutil.which(program)} "$@"\n')
            shim.chmod(0o755)
        done = run(shell, "say one", hook.url, path=f"{shims}:{os.environ['PATH']}")
        assert done.returncode == 0, done
        seen = calls.read_text()
        assert "curl " in seen and "openssl " in seen, seen
        assert KEY not in seen, seen


CHECKS = [
    signs_as_the_vectors_say,
    any_text_becomes_a_json_string,
    a_lost_answer_is_sent_again_with_the_same_number,
    a_job_that_should_stop_stops,
    a_refused_report_ends_the_job_and_says_why,
    a_missing_variable_is_named,
    no_program_is_given_the_key,
]


def outcome(shell, check):
    name = f"{shell}: {check.__name__.replace('_', ' ')}"
    try:
        check(shell)
    except Exception as error:
        return False, f"FAILED {name}: {type(error).__name__}: {error}"
    return True, f"ok     {name}"


def main() -> int:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pairs = [(shell, check) for shell in SHELLS for check in CHECKS]
        outcomes = list(pool.map(lambda pair: outcome(*pair), pairs))
    print("\n".join(line for _, line in outcomes))
    passed = sum(good for good, _ in outcomes)
    print(f"{passed} passed, {len(outcomes) - passed} failed")
    return 0 if passed == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
