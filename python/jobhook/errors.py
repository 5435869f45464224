"""What can go wrong, told apart by what the caller can do about it.

Branch on the class or on `code`, which is stable, and never on the text. Where the server refused,
the code is the server's own, from section 9 of the protocol. No key and no token is in any text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ContentMismatch",
    "FileUnusable",
    "InvalidEnvironment",
    "InvalidInput",
    "InvalidOutput",
    "InvalidSetting",
    "InvalidValue",
    "JobCancelled",
    "JobOver",
    "JobhookError",
    "Refused",
    "ServerAway",
    "SystemRefused",
    "UnexpectedAnswer",
    "UnexpectedArguments",
    "UnknownOperation",
    "WaitTimeout",
]


class JobhookError(Exception):
    """Base of every error that jobhook raises.

    Attributes:
        code: Stable, for programs.
    """

    code: str

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code)


class InvalidEnvironment(JobhookError, ValueError):
    """This process was not started as a job, or its variables are unusable.

    Codes: `missing_variable`, `invalid_variable`, `invalid_key`, `key_not_latin1`.
    """


class InvalidSetting(JobhookError, ValueError):
    """A setting has a value it cannot have.

    Codes: `invalid_setting`, `certificates_unusable`, `spool_unwritable`.
    """


class InvalidValue(JobhookError, ValueError):
    """A value cannot be reported as it is, and nothing is altered to make it fit.

    Codes: `not_json`, `invalid_value`, `body_too_large`.
    """


class UnexpectedArguments(JobhookError, ValueError):
    """The action's arguments are not what the program expects. Code: `unexpected_arguments`."""


class InvalidInput(JobhookError, ValueError):
    """The input does not fit the operation; the text names every place. Code: `invalid_input`."""


class InvalidOutput(JobhookError, ValueError):
    """What an operation returned cannot be its results. Code: `invalid_output`."""


class UnknownOperation(JobhookError, LookupError):
    """The program does not have the operation. Code: `unknown_operation`."""


class JobOver(JobhookError, RuntimeError):
    """The job cannot be used any more, or not in this process.

    Codes: `job_ended` (it said SUCCESS or ERROR), `job_closed`, `job_forked` (it belongs to the
    parent: call `Job.from_env` again after the fork), `files_unavailable` (it runs inside a server,
    where a job has no files).
    """


class ServerAway(JobhookError, ConnectionError):
    """The server did not answer.

    Codes: `no_answer`, `server_unreachable` (the job stopped reporting), `flush_timeout`,
    `spool_full` (too much waits to be sent).
    """


class UnexpectedAnswer(JobhookError, ValueError):
    """Something answered that is no jobhook server. Codes: `unexpected_answer`, `redirected`."""


class ContentMismatch(JobhookError, ValueError):
    """What arrived is not what was announced, and nothing of it is kept. Code: `content_mismatch`.

    Where the server says so of what it got, that is `Refused`.
    """


class FileUnusable(JobhookError, OSError):
    """A file of this machine cannot be moved.

    What the system said is in the text alone: `errno`, `strerror` and `filename` are `None`.

    Codes: `file_unreadable`, `file_unwritable`, `file_exists` (something else has the name of what
    was downloaded into a directory, and was left alone), `file_changed` (somebody wrote to it while
    it was uploaded: do that once it is complete).
    """


class SystemRefused(JobhookError, OSError):
    """The machine refused a thread, a socket or random numbers. Code: `system_refused`."""


class WaitTimeout(JobhookError, TimeoutError):
    """What was waited for did not happen in the time that the caller gave.

    Code: `wait_timeout`.
    """


class Refused(JobhookError):
    """The server answered, and said no.

    Attributes:
        code: From section 9 of the protocol, such as `action_not_found`; or `lines_refused`, where
            a server of the original takes no log lines for this action.
        status: The HTTP status, such as 404.
    """

    status: int

    def __init__(self, text: str, code: str, status: int) -> None:
        super().__init__(text, code)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code, self.status)


class JobCancelled(BaseException):
    """The job should end: the server said STOP, or the process got SIGTERM.

    Like `KeyboardInterrupt` it is no `Exception`, so that a program that goes on after the
    failure of one item does not go on after this.
    """

    code = "job_cancelled"
