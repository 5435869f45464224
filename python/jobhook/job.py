"""The job that this process is, seen from inside.

Calls that say something append and return at once; a thread of Rust sends, also while Python
computes. So a job goes on while its server is away, and what it said arrives afterwards, once and
in order. Calls that wait say so, and let other threads run.
"""

from __future__ import annotations

import atexit
import os
import sys

from ._jobhook import NativeJob
from .errors import InvalidSetting, InvalidValue, JobCancelled, JobhookError
from .sigterm import forget, heed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, Literal, TypeVar

    from ._jobhook import Receipt
    from .files import Files

    T = TypeVar("T")

__all__ = ["Job"]

_UNSET: Any = object()
# How many characters of an exception's text are reported.
_LONGEST = 65_536


class Job:
    """The job that this process is; made by `Job.from_env`.

    As a context manager it says how it ended: leaving the block reports SUCCESS with `results`;
    leaving it by an exception reports ERROR with the exception's type and text, puts the
    traceback into the log, and lets the exception go on. Every method may be called from any
    thread.

        with Job.from_env() as job:
            for path in job.progress(job.arguments["paths"]):
                job.log(f"resizing {path}")
            job.results = {"resized": 3}
    """

    def __init__(self, native: NativeJob) -> None:
        self._native = native
        self._pid = os.getpid()
        self._results: Any = _UNSET
        self._arguments: Any = _UNSET
        self._has_ended = False
        self._finalizer: Any = None

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        heartbeat: float | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        spool_directory: str | os.PathLike[str] | None = None,
        spool_bytes: int = 64 * 1024 * 1024,
        patience: float = 900.0,
        flush_limit: float = 30.0,
        answer_timeout: float = 10.0,
        retry_pauses: tuple[float, float] = (0.1, 5.0),
        progress_interval: float = 0.25,
        listen_every: float = 10.0,
        handle_sigterm: bool = True,
    ) -> Job:
        """The job that the environment of this process tells of. Nothing is sent yet.

        Args:
            environ: Where to read `JOB_ID`, `JOB_SECRET_KEY`, `JOB_HOOK` and what else there is;
                `os.environ` if `None`.
            heartbeat: Seconds, 0.1 to 86,400. Announces that the job speaks at least this often,
                and speaks for it, also while Python computes; from then on silence of three times
                as long means trouble to the server.
            ca_file: Certificates (PEM) to trust beside those of the machine; the variable
                `JOBHOOK_CA_FILE` if `None`.
            spool_directory: Where reports are kept while the server is away, so that they
                outlive the process. It is made if it is not there.
            spool_bytes: How many bytes may wait to be sent, from 0.
            patience: Seconds that the server may be away before the job stops reporting.
            flush_limit: Seconds that the end may wait for the last reports.
            answer_timeout: Seconds that one answer may take.
            retry_pauses: Seconds of the first and of the longest pause between tries.
            progress_interval: Seconds between two reports of nothing but progress.
            listen_every: Seconds without a report after which the job asks whether to stop.
            handle_sigterm: Whether the first SIGTERM raises `JobCancelled` at the next call
                instead of ending the process at once. Only for a job made in the main thread, and
                only if nothing else handles the signal.

        Raises:
            InvalidEnvironment: A variable is missing or wrong; the text names it.
            InvalidSetting: An argument is wrong.
            SystemRefused: There is no thread or no socket.
        """
        if not 0 <= spool_bytes <= sys.maxsize:
            limits = f"must be a whole number from 0 to {sys.maxsize}"
            text = f"spool_bytes is invalid: it is {spool_bytes}, and {limits}"
            raise InvalidSetting(text, "invalid_setting")
        native = NativeJob(
            os.environ if environ is None else environ,
            heartbeat=heartbeat,
            ca_file=ca_file,
            spool_directory=spool_directory,
            spool_bytes=spool_bytes,
            patience=patience,
            flush_limit=flush_limit,
            answer_timeout=answer_timeout,
            retry_pauses=retry_pauses,
            progress_interval=progress_interval,
            listen_every=listen_every,
        )
        job = cls(native)
        if handle_sigterm:
            heed(job)
        atexit.register(job._at_exit)
        if "multiprocessing.util" in sys.modules:
            # Its children end without what `atexit` does.
            from multiprocessing.util import Finalize

            job._finalizer = Finalize(None, job._at_exit, exitpriority=0)
        return job

    @property
    def id(self) -> str:
        """The action's id."""
        return self._native.id

    @property
    def attempt(self) -> int | None:
        """The attempt's number, from 1; `None` where the server does not tell."""
        return self._native.attempt

    @property
    def traceparent(self) -> str | None:
        """The W3C Trace Context of the launch."""
        return self._native.traceparent

    @property
    def arguments(self) -> Any:
        """What the action was launched with; `None` if nothing.

        The first use asks the server and waits, up to two minutes. A whole number of more digits
        than `sys.get_int_max_str_digits()` comes as a `decimal.Decimal`.

        Raises:
            ServerAway: No answer came.
            Refused: The server does not know this job, or its attempt is over.
            JobCancelled: The job should end.
        """
        if self._arguments is _UNSET:
            self._arguments = self._native.arguments()
        return self._arguments

    @property
    def results(self) -> Any:
        """What the job made, reported when the block is left: any JSON.

        Raises:
            InvalidValue: It is not JSON; the text names the place.
        """
        return None if self._results is _UNSET else self._results

    @results.setter
    def results(self, value: Any) -> None:
        # Refused here, where the line of the program is still known.
        self._native.check_json(value)
        self._results = value

    @property
    def inputs(self) -> Files:
        """The files that the action was launched with."""
        return self.files(self._native.action_store, self.id, "inputs")

    @property
    def outputs(self) -> Files:
        """The files that this job, or an attempt before it, left with the action."""
        return self.files(self._native.action_store, self.id, "outputs")

    def files(self, store: str, uuid: str, property: str) -> Files:
        """The files of any property, which the launch must have granted. Nothing is asked yet.

        Args:
            store: Such as `images`; `actions` for the files of another action.
            uuid: The id of the object.
            property: Such as `files`.
        """
        from .files import Files

        return Files(self._native, store, uuid, property)

    def report(
        self,
        status: Literal["RUNNING", "SUCCESS", "ERROR"] | None = None,
        *,
        results: Any = None,
        details: Any = None,
        error_name: str | None = None,
        error_message: str | None = None,
        message: str | None = None,
        logs: Iterable[str] = (),
    ) -> Receipt:
        """Says something. Returns at once; the receipt can be waited for.

        Args:
            status: After SUCCESS and ERROR only log lines may follow.
            results: What the job made, any JSON; replaces what was reported before.
            details: What people see, any JSON; replaces those before, progress included.
            error_name: What went wrong, for programs. Means ERROR, and goes with no other status.
            error_message: What went wrong, for people. Means ERROR, too.
            message: What the job is doing.
            logs: Lines for the log.

        Raises:
            InvalidValue: Something is not JSON, or too long for a server; or an error goes with
                RUNNING or SUCCESS.
            JobOver: The job has ended, is closed, or belongs to the parent of this process.
            ServerAway: Too much waits to be sent, or the job stopped reporting.
            JobCancelled: The job should end.
        """
        return self._report(
            False, status, results, details, error_name, error_message, message, logs
        )

    def log(self, text: str) -> None:
        """Adds a line to the log; a text of several lines adds several. Returns at once.

        Raises:
            JobOver, ServerAway, JobCancelled: As `report`.
        """
        self._native.log(text)

    def message(self, text: str) -> None:
        """Says what the job is doing. Returns at once; only the newest is sent.

        Raises:
            JobOver, ServerAway, JobCancelled: As `report`.
        """
        self._native.message(text)

    def set_progress(self, done: float, total: float | None = None) -> None:
        """Says how far the job is. Returns at once; of many calls only the newest is sent.

        Args:
            done: How much is done, from 0.
            total: How much there is, if that is known.

        Raises:
            InvalidValue: `done` is negative, not a number, or more than `total`.
            JobOver, ServerAway, JobCancelled: As `report`.
        """
        self._native.set_progress(done, total)

    def progress(
        self,
        iterable: Iterable[T],
        *,
        total: int | None = None,
        desc: str | None = None,
        bar: bool | None = None,
    ) -> Iterator[T]:
        """Passes the items through and says how far they are, a few times a second.

        An item is done when the next one is asked for. More items than `total` are no error: it
        was a guess, and is not said from then on.

        Args:
            iterable: What to pass through.
            total: How many items there are; `len(iterable)` if `None` and it has one.
            desc: What the job is doing.
            bar: Whether to draw a bar on stderr; if `None`, where that is a terminal.

        Raises:
            InvalidValue: `total` is negative.
            JobCancelled: The job should end; at each step.
            JobOver, ServerAway: As `report`.
        """
        total = total_of(iterable, total)
        if bar is None:
            bar = sys.stderr is not None and sys.stderr.isatty()
        if bar:
            from .bar import drawn

            return drawn(self._native.steps(iterable, total, desc), total, desc)
        return self._native.steps(iterable, total, desc)

    @property
    def is_cancelled(self) -> bool:
        """Whether the job should end."""
        return self._native.is_cancelled

    def check(self) -> None:
        """Raises if the job should end. Costs next to nothing.

        Other calls raise once in each thread, so that a program that cleans up may still speak;
        this and the steps of `progress` raise each time.

        Raises:
            JobCancelled: The job should end.
        """
        self._native.check()

    def flush(self, limit: float | None = None) -> None:
        """Waits until everything that was said is answered.

        Args:
            limit: Seconds; `flush_limit` if `None`.

        Raises:
            ServerAway: Not everything was (`flush_timeout`), or the job stopped reporting.
            Refused: The server refused to hear the job.
        """
        self._native.flush(limit)

    def close(self) -> None:
        """Sends what is left, up to the flush limit, and says no more.

        Closing again does nothing. A process that ends closes its jobs, unless it is killed or
        calls `os._exit`.

        Raises:
            ServerAway: Something was not answered.
            Refused: The server refused something, such as results that do not fit the operation
                (`invalid_output`): the SUCCESS that had them was not stored. An ERROR that was
                reported after that stands in its place, and nothing is raised.
            JobhookError: What else went wrong on the way, such as lines that found no room.
        """
        try:
            self._native.close()
        except Exception:
            self._let_go()
            raise
        # Who is interrupted while waiting, by Ctrl-C, does not come here and may close again.
        self._let_go()

    @property
    def error(self) -> BaseException | None:
        """What went wrong, if anything did: what ended the reporting, or trouble that did not."""
        return self._native.error()

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None or (isinstance(exc, SystemExit) and exc.code in (None, 0)):
            try:
                if not self._has_ended:
                    self._report_success()
            finally:
                self.close()
            return
        # The exception of the program is the one to go on, whatever becomes of its report.
        try:
            if not self._has_ended:
                self._report_exception(exc)
        except Exception as error:
            _tell(error)
        try:
            self.close()
        except Exception as error:
            _tell(error)

    def _report_success(self) -> None:
        try:
            self._report(True, "SUCCESS", self.results)
        except InvalidValue as error:
            # What was set as the results has changed since.
            self._report_exception(error)
            raise

    def __repr__(self) -> str:
        return f"<jobhook.Job {self.id} attempt {self.attempt}>"

    def _report(
        self,
        quiet: bool,
        status: str | None,
        results: Any = None,
        details: Any = None,
        error_name: str | None = None,
        error_message: str | None = None,
        message: str | None = None,
        logs: Iterable[str] = (),
    ) -> Receipt:
        receipt = self._native.report(
            quiet,
            {
                "status": status,
                "results": results,
                "details": details,
                "error_name": error_name,
                "error_message": error_message,
                "message": message,
                "logs": [logs] if isinstance(logs, str) else list(logs),
            },
        )
        has_error = error_name is not None or error_message is not None
        self._has_ended = self._has_ended or status in ("SUCCESS", "ERROR") or has_error
        return receipt

    def _report_exception(self, error: BaseException) -> None:
        if not isinstance(error, (JobCancelled, SystemExit)):
            self._log_traceback(error)
        try:
            text = text_of(error)
        except Exception:
            text = "(its text cannot be had)"
        self._report(True, "ERROR", error_name=type(error).__name__, error_message=text)

    def _log_traceback(self, error: BaseException) -> None:
        from traceback import format_exception

        try:
            for part in format_exception(type(error), error, error.__traceback__):
                self._native.log_quietly(part)
        except Exception as missing:
            # There may be no room for lines, and still be some for the ERROR.
            _tell(missing)

    def _let_go(self) -> None:
        atexit.unregister(self._at_exit)
        if self._finalizer is not None:
            self._finalizer.cancel()
        forget(self)

    def _at_exit(self) -> None:
        if os.getpid() != self._pid:
            return
        try:
            self.close()
        except JobhookError as error:
            _tell(error)


def total_of(iterable: object, total: int | None) -> int | None:
    """How many items there are, if that is known."""
    if total is None:
        try:
            return len(iterable)  # type: ignore[arg-type]
        except TypeError:
            return None
    if total < 0:
        raise InvalidValue(
            f"the progress cannot be reported: `total` is {total}, and must be a number from 0",
            "invalid_value",
        )
    return total


def text_of(error: BaseException) -> str:
    """What an error says, cut where it is too long for a report."""
    if isinstance(error, SystemExit):
        text = f"the program ended itself with {error.code!r}"
    else:
        text = str(error)
    if len(text) > _LONGEST:
        return f"{text[:_LONGEST]}… ({len(text)} characters in all)"
    return text


def _tell(error: Exception) -> None:
    try:
        code = getattr(error, "code", type(error).__name__)
        text = str(error)
        # A refusal tells its code itself.
        if f"({code})" not in text:
            text += f" ({code})"
        if sys.stderr is not None:
            print(f"jobhook: {text}", file=sys.stderr)
    except Exception:
        # A stderr that is closed must not end what goes on after this.
        return
