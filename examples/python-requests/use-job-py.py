#!/usr/bin/env python3
"""Runs the functions of a `job.py` written for Webda, unmodified.

The file is yours: `./just test-jobpy /path/to/job.py` launches this program as an
action and checks what arrived. It needs `check_job`, `job_headers` and
`send_status` of the file, as Webda's documentation publishes them.
"""

import importlib.util
import json
import sys


def main() -> None:
    path = json.load(sys.stdin)["path"]
    spec = importlib.util.spec_from_file_location("job", path)
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)

    job.check_job()
    assert set(job.job_headers()) == {"X-Job-Id", "X-Job-Time", "X-Job-Hash"}
    # A fresh action, and logs at once.
    answers = [
        job.send_status({"logs": ["a < b && c > d", "<b>bold</b>"]}),
        job.send_status(),
        job.send_status({"status": "RUNNING", "statusDetails": {"step": "if x<y: fail & stop"}}),
        job.send_status({"status": "SUCCESS", "results": {"text": "if x<y: fail & stop"}}),
    ]
    for answer in answers:
        assert answer.get("uuid") == job.job_headers()["X-Job-Id"], answer
    assert answers[-1]["status"] == "SUCCESS", answers[-1]


if __name__ == "__main__":
    main()
