"""The functions of the original's `job.py`, under their names.

A script that was written for it runs with one changed import. New programs use `Job`, which sends
again what was not answered, keeps the order, and never waits for the server.
"""

from __future__ import annotations

import os

from . import _jobhook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["check_job", "job_headers", "send_status"]


def check_job() -> None:
    """Returns if this process was started as a job.

    Raises:
        InvalidEnvironment: `JOB_ID`, `JOB_SECRET_KEY` or `JOB_HOOK` is missing or wrong; the text
            says which.
    """
    _jobhook.check_job(os.environ)


def job_headers() -> dict[str, str]:
    """The headers that sign a request to the hook: `X-Job-Id`, `X-Job-Time`, `X-Job-Hash`.

    They hold for the server's `max_clock_skew`, five minutes by default.

    Raises:
        InvalidEnvironment: As `check_job`.
    """
    return _jobhook.job_headers(os.environ)


def send_status(data: Any = None) -> Any:
    """Posts `data` to the hook, once, and waits for the answer.

    Args:
        data: Any JSON, such as `{"status": "RUNNING", "logs": ["a line"]}`; `None` asks how the
            action stands.

    Returns:
        What the hook answered, also when it refused: then it has a `code`.

    Raises:
        InvalidEnvironment: As `check_job`.
        ServerAway: No answer came within 30 s. The report may have been applied.
        UnexpectedAnswer: The answer is not JSON.
        ValueError, TypeError: `data` is not JSON.
    """
    if data is None:
        return _jobhook.send_status(os.environ, None)
    import json

    return _jobhook.send_status(os.environ, json.dumps(data, allow_nan=False))
