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

__all__ = ["check_job", "download_from", "job_headers", "send_status", "upload_to"]


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


def download_from(store: str, uuid: str, property: str, index: int, dirpath: str) -> str:
    """Fetches a file into the directory `dirpath`, where it is named after its MD5.

    If such a file is there, nothing is fetched. One that is fetched has its name once all of it is
    there and is what the server announced.

    Args:
        store: Such as `AsyncActions`.
        uuid: Of the object, such as the action's id.
        property: Such as `inputs`.
        index: Its number, from 0.
        dirpath: A directory that is there.

    Returns:
        The file's path, also where it was there before.

    Raises:
        InvalidEnvironment: As `check_job`.
        Refused, UnexpectedAnswer: The server said no.
        ContentMismatch: Other bytes arrived.
        FileUnusable: It cannot be written.
        ServerAway: No answer came, or the bytes broke off.
    """
    place = (store, uuid, property)
    path, already = _jobhook.download_from(os.environ, place, index, dirpath)
    if already:
        print("Already downloaded")
    return os.fspath(path)


def upload_to(
    store: str,
    uuid: str,
    property: str,
    filepath: str,
    metadata: dict[str, Any] = {},  # noqa: B006  it is not written to, and the original has it
) -> str:
    """Leaves a file with the server, unless the server has it already.

    A server of jobhook is not asked first where the file is larger than 256 KiB: then it is read once,
    while it is sent.

    Args:
        store: Such as `AsyncActions`.
        uuid: Of the object, such as the action's id.
        property: Such as `outputs`.
        filepath: The file.
        metadata: What else is known of it, a JSON object.

    Returns:
        `filepath`.

    Raises:
        InvalidEnvironment: As `check_job`.
        Refused, UnexpectedAnswer: The server said no.
        InvalidValue, InvalidSetting: The metadata is no JSON object, or too long.
        FileUnusable: It cannot be read, or somebody wrote to it meanwhile.
        ServerAway: No answer came.
    """
    place = (store, uuid, property)
    if _jobhook.upload_to(os.environ, place, filepath, metadata):
        print("Already uploaded")
    return filepath
