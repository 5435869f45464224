#!/usr/bin/env python3
"""Runs the functions of a `job.py` written for Webda, unmodified.

The file is yours: `./just test-jobpy /path/to/job.py` launches this program as an
action and checks what arrived. It needs `check_job`, `job_headers`, `send_status`, `upload_to`
and `download_from` of the file, as Webda's documentation publishes them.

The action is launched with files, which this program takes and leaves again, each twice.
"""

import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    given = json.load(sys.stdin)
    spec = importlib.util.spec_from_file_location("job", given["path"])
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)

    job.check_job()
    assert set(job.job_headers()) == {"X-Job-Id", "X-Job-Time", "X-Job-Hash"}
    # A fresh action, and logs at once.
    answers = [
        job.send_status({"logs": ["a < b && c > d", "<b>bold</b>"]}),
        job.send_status(),
        job.send_status({"status": "RUNNING", "statusDetails": {"step": "if x<y: fail & stop"}}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for index in range(given["files"]):
            move(job, index, Path(folder))
    answers.append(
        job.send_status({"status": "SUCCESS", "results": {"text": "if x<y: fail & stop"}})
    )
    for answer in answers:
        assert answer.get("uuid") == job.job_headers()["X-Job-Id"], answer
    assert answers[-1]["status"] == "SUCCESS", answers[-1]


def move(job, index: int, folder: Path) -> None:
    """Takes a file twice, and leaves its bytes in reverse twice. The second time nothing moves."""
    uuid = os.environ["JOB_ID"]
    path = job.download_from("AsyncActions", uuid, "inputs", index, str(folder))
    content = Path(path).read_bytes()
    assert Path(path).name == hashlib.md5(content).hexdigest(), path
    job.download_from("AsyncActions", uuid, "inputs", index, str(folder))
    made = folder / f"made-{index}"
    made.write_bytes(content[::-1])
    for _ in range(2):
        job.upload_to("AsyncActions", uuid, "outputs", str(made), {"index": index})


if __name__ == "__main__":
    main()
