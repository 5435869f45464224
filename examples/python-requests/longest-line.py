#!/usr/bin/env python3
"""Finds the longest of some lines, and reports as Webda's actions do.

You see: the arguments come with the first answer, each line appears in the log
as it was sent (`<` and `&` too), the status details count up, and the results
are {"line": ..., "length": ...}.

The point: profile `webda` is three headers and a POST, so a program written for
Webda's Async Actions runs under jobhook as it is. What these three headers cannot
protect is in SECURITY.md; new programs are better off with profile v1.

    pip install -r examples/python-requests/requirements.txt
    jobhook serve --config examples/jobhook.toml
    jobhook launch LongestLine --arguments '{"lines": ["one", "two & <three>"]}' --follow
"""

import hashlib
import hmac
import os
import sys
import time

import requests


def require_environment() -> None:
    """Ends the program when something is missing that a server gives its jobs."""
    missing = [
        name for name in ("JOB_ID", "JOB_SECRET_KEY", "JOB_HOOK") if not os.environ.get(name)
    ]
    if missing:
        sys.exit(f"not started by a job server: {', '.join(missing)} missing")


def headers() -> dict[str, str]:
    """Who we are, what time it is, and the proof that we hold the key."""
    now = str(time.time_ns() // 1_000_000)
    key = os.environ["JOB_SECRET_KEY"].encode("latin-1")
    return {
        "X-Job-Id": os.environ["JOB_ID"],
        "X-Job-Time": now,
        "X-Job-Hash": hmac.new(key, now.encode(), hashlib.sha256).hexdigest(),
    }


def send(report: dict) -> dict:
    """Sends a report; returns the action as the server has it."""
    response = requests.post(
        os.environ["JOB_HOOK"] + "/status", json=report, headers=headers(), timeout=30
    )
    response.raise_for_status()
    action = response.json()
    if action.get("action") == "STOP":
        sys.exit("the server wants this job to stop")
    return action


def main() -> None:
    require_environment()
    action = send({"status": "RUNNING"})
    expect(action["uuid"] == os.environ["JOB_ID"] and action["status"] == "RUNNING", action)
    lines = action["arguments"]["lines"]

    # Webda takes lines only for actions that were launched with `logs: []`; jobhook for all.
    send({"logs": lines})

    longest = ""
    for number, line in enumerate(lines, start=1):
        longest = max(longest, line, key=len)
        send({"statusDetails": {"done": number, "total": len(lines)}})

    results = {"line": longest, "length": len(longest)}
    action = send({"status": "SUCCESS", "results": results})
    expect(action["status"] == "SUCCESS" and action["results"] == results, action)


def expect(truth: bool, action: dict) -> None:
    """A server that answers something else is not the one this was written for."""
    if not truth:
        sys.exit(f"unexpected answer: {action}")


if __name__ == "__main__":
    main()
