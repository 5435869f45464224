"""Background actions, seen from inside and launched from outside.

A program that a jobhook server started uses `Job`: its arguments, progress, log and results. A
program that launches and watches others uses `Launcher`. For asyncio there are `AsyncJob` and
`AsyncLauncher`. Functions that are launched by name are `operation`s; `run` makes a program of them. `check_job`, `job_headers`, `send_status`,
`upload_to` and `download_from` are those of the original's `job.py`.
"""

from __future__ import annotations

from ._jobhook import LaunchFile, Receipt, __version__
from .errors import (
    ContentMismatch,
    FileUnusable,
    InvalidEnvironment,
    InvalidInput,
    InvalidOutput,
    InvalidSetting,
    InvalidValue,
    JobCancelled,
    JobhookError,
    JobOver,
    Refused,
    ServerAway,
    SystemRefused,
    UnexpectedAnswer,
    UnexpectedArguments,
    UnknownOperation,
    WaitTimeout,
)
from .job import Job
from .primitives import check_job, download_from, job_headers, send_status, upload_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .action import Action, ActionFile, Attempt, Back, Cancel, Gap, LogLine, Lost, Witness
    from .async_files import AsyncFiles, AsyncJobFile
    from .async_job import AsyncJob, AsyncReceipt
    from .async_launcher import AsyncLauncher
    from .files import FileInfo, Files, JobFile, Uploaded
    from .launcher import Grant, Launch, Launcher
    from .log_handler import JobLogHandler
    from .operations import operation
    from .program import run

__all__ = [
    "Action",
    "ActionFile",
    "AsyncFiles",
    "AsyncJob",
    "AsyncJobFile",
    "AsyncLauncher",
    "AsyncReceipt",
    "Attempt",
    "Back",
    "Cancel",
    "ContentMismatch",
    "FileInfo",
    "FileUnusable",
    "Files",
    "Gap",
    "Grant",
    "InvalidEnvironment",
    "InvalidInput",
    "InvalidOutput",
    "InvalidSetting",
    "InvalidValue",
    "Job",
    "JobCancelled",
    "JobFile",
    "JobLogHandler",
    "JobOver",
    "JobhookError",
    "Launch",
    "LaunchFile",
    "Launcher",
    "LogLine",
    "Lost",
    "Receipt",
    "Refused",
    "ServerAway",
    "SystemRefused",
    "UnexpectedAnswer",
    "UnexpectedArguments",
    "UnknownOperation",
    "Uploaded",
    "WaitTimeout",
    "Witness",
    "__version__",
    "check_job",
    "download_from",
    "job_headers",
    "operation",
    "run",
    "send_status",
    "upload_to",
]

# What needs asyncio, logging or dataclasses is loaded when it is first used: a short job should
# not wait for what it does not need.
_LATER = {
    "Action": "action",
    "ActionFile": "action",
    "AsyncFiles": "async_files",
    "AsyncJob": "async_job",
    "AsyncJobFile": "async_files",
    "AsyncLauncher": "async_launcher",
    "AsyncReceipt": "async_job",
    "Attempt": "action",
    "Back": "action",
    "Cancel": "action",
    "FileInfo": "files",
    "Files": "files",
    "Gap": "action",
    "Grant": "launcher",
    "JobFile": "files",
    "JobLogHandler": "log_handler",
    "Launch": "launcher",
    "Launcher": "launcher",
    "LogLine": "action",
    "Lost": "action",
    "Uploaded": "files",
    "Witness": "action",
    "operation": "operations",
    "run": "program",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
