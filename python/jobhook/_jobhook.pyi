"""What is written in Rust. The package's other modules say how it is used."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypedDict, TypeVar, final, type_check_only

_T = TypeVar("_T")
_Path: TypeAlias = str | os.PathLike[str]
_Place: TypeAlias = tuple[str, str, str]
# Name, media type, metadata.
_Fields: TypeAlias = tuple[str | None, str | None, dict[str, Any] | None]
_Source: TypeAlias = Any
_OnProgress: TypeAlias = Callable[[int, int | None], object]

__all__ = [
    "LaunchFile",
    "NativeFiles",
    "NativeFollower",
    "NativeHook",
    "NativeJob",
    "NativeLauncher",
    "Receipt",
    "Steps",
    "Stop",
    "__version__",
    "attempt_key",
    "check_job",
    "download_from",
    "file_names",
    "job_headers",
    "read_environment",
    "send_status",
    "sign_v1",
    "sign_webda",
    "status_after",
    "upload_to",
    "verify",
]

__version__: Final[str]

@final
class NativeJob:
    """The job that this process is."""

    def __new__(
        cls,
        variables: Mapping[str, str],
        *,
        heartbeat: float | None,
        ca_file: _Path | None,
        spool_directory: _Path | None,
        spool_bytes: int,
        patience: float,
        flush_limit: float,
        answer_timeout: float,
        retry_pauses: tuple[float, float],
        progress_interval: float,
        listen_every: float,
    ) -> NativeJob: ...
    @property
    def id(self) -> str: ...
    @property
    def attempt(self) -> int | None: ...
    @property
    def action_store(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def is_cancelled(self) -> bool: ...
    def arguments(self) -> Any: ...
    def operation(self) -> tuple[str | None, str | None]: ...
    def report(self, quiet: bool, said: dict[str, Any]) -> Receipt: ...
    def log(self, text: str) -> None: ...
    def log_quietly(self, text: str) -> None: ...
    def check_json(self, value: Any) -> None: ...
    def message(self, text: str) -> None: ...
    def set_progress(self, done: float, total: float | None) -> None: ...
    def steps(
        self, iterable: Iterable[_T], total: int | None, message: str | None
    ) -> Steps[_T]: ...
    def flush(self, limit: float | None) -> None: ...
    def close(self) -> None: ...
    def check(self) -> None: ...
    def heed(self) -> bool: ...
    def cancel(self, why: str) -> None: ...
    def error(self) -> BaseException | None: ...

@final
class Receipt:
    """A report that is on its way."""

    def wait(self, limit: float = 30.0) -> None:
        """Waits until the server has stored the report, up to `limit` seconds.

        Raises:
            Refused: The server said no.
            ServerAway: It did not answer.
            JobOver: It belongs to the parent of this process (`job_forked`).
        """

@final
class Steps(Generic[_T]):
    """Counts the items that pass through. An item counts once the next one is asked for."""

    @property
    def done(self) -> int: ...
    def finish(self) -> None: ...
    def __iter__(self) -> Iterator[_T]: ...
    def __next__(self) -> _T: ...

@final
class NativeFiles:
    """The files of one property."""

    def __new__(cls, job: NativeJob, store: str, uuid: str, property: str) -> NativeFiles: ...
    def upload(
        self,
        source: _Source,
        fields: _Fields,
        progress: _OnProgress | None,
        heeds: bool,
        stop: Stop | None,
    ) -> tuple[int, str | None, str | None, bool] | None: ...
    def look(self, index: int) -> str | None: ...
    def download(
        self,
        index: int,
        path: _Path,
        is_directory: bool,
        progress: _OnProgress | None,
        heeds: bool,
        stop: Stop | None,
    ) -> tuple[Path, str] | None: ...
    def read(
        self, index: int, progress: _OnProgress | None, heeds: bool, stop: Stop | None
    ) -> bytes | None: ...

@final
class LaunchFile:
    """A file that an action is to be launched with, from `Launcher.upload`: once, within an hour."""

@final
@type_check_only
class Wanted(TypedDict):
    """What to launch."""

    what: str
    is_operation: bool
    arguments: Any
    attempts: int | None
    timeout: float | None
    files: list[LaunchFile]
    grants: list[tuple[str, str, str, str]]

@final
class NativeLauncher:
    """Speaks to a server."""

    def __new__(cls, url: str, *, token: str | None, ca_file: _Path | None) -> NativeLauncher: ...
    def launch(self, wanted: Wanted) -> str: ...
    def launch_many(self, wanted: Sequence[Wanted]) -> str: ...
    def upload(
        self,
        source: _Source,
        fields: _Fields,
        progress: _OnProgress | None,
        stop: Stop | None,
    ) -> LaunchFile | None: ...
    def files(self, uuid: str, cursor: str | None) -> str: ...
    def download(
        self,
        uuid: str,
        file: str,
        to: tuple[_Path, bool],
        progress: _OnProgress | None,
        stop: Stop | None,
    ) -> bool: ...
    def show(self, uuid: str) -> str: ...
    def list(
        self, statuses: Sequence[str], type_: str | None, limit: int | None, cursor: str | None
    ) -> str: ...
    def lines(self, uuid: str, after: int, limit: int) -> tuple[str, int | None]: ...
    def wait(self, uuid: str, limit: float | None, stop: Stop | None) -> str | None: ...
    def follow(self, uuid: str, after: int) -> NativeFollower: ...
    def cancel(self, uuid: str, reason: str | None) -> str: ...
    def retry(self, uuid: str) -> str: ...

@final
class NativeFollower:
    """Follows one action."""

    def next(self, stop: Stop | None) -> tuple[str, str] | None: ...

@final
class Stop:
    """Ends a wait from another thread."""

    def __new__(cls) -> Stop: ...
    def set(self) -> None: ...
    def during(self, work: Callable[[], _T]) -> _T: ...

@final
class NativeHook:
    """A hook inside the test."""

    def __new__(cls) -> NativeHook: ...
    def variables(self) -> list[tuple[str, str]]: ...
    def set_variables(self, variables: Mapping[str, str]) -> None: ...
    def set_arguments(self, arguments: Any) -> None: ...
    def set_field(self, name: str, value: Any) -> None: ...
    def set_clock_offset_ms(self, offset: int) -> None: ...
    def stop(self) -> None: ...
    def script(self, next: Sequence[tuple[str, str | None]]) -> None: ...
    def behave(self, name: str, detail: str | None) -> None: ...
    def go_away(self) -> None: ...
    def come_back(self) -> None: ...
    def add_file(self, place: _Place, fields: _Fields, bytes: bytes) -> None: ...
    def files(self, place: _Place) -> list[tuple[str | None, str, str, bytes]]: ...
    def reports(self) -> list[str]: ...
    def lines(self) -> list[str]: ...
    def status(self) -> str | None: ...
    def requests(self) -> int: ...
    def connections(self) -> int: ...
    def wait_for_requests(self, count: int) -> bool: ...
    def wait_for_lines(self, count: int) -> bool: ...

def check_job(variables: Mapping[str, str]) -> None: ...
def job_headers(variables: Mapping[str, str]) -> dict[str, str]: ...
def send_status(variables: Mapping[str, str], data: str | None) -> Any: ...
def download_from(
    variables: Mapping[str, str], place: _Place, index: int, dirpath: _Path
) -> tuple[Path, bool]: ...
def upload_to(
    variables: Mapping[str, str], place: _Place, filepath: _Path, metadata: dict[str, Any]
) -> bool: ...
def file_names(files: Sequence[str]) -> list[str]: ...
def read_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    """What a job finds among these variables (clauses ENV-1 and following).

    Returns:
        `id`, `key`, `hook`, `orchestrator`, `attempt` and `traceparent`; `None` where not set.

    Raises:
        InvalidEnvironment: A variable is missing or wrong.
    """

def sign_webda(key: str, time: str) -> str:
    """`X-Job-Hash` of the original's profile (clause SIG-5).

    Args:
        key: The attempt's key, the value of `JOB_SECRET_KEY`.
        time: `X-Job-Time`: milliseconds since the Unix epoch, in decimal.

    Raises:
        InvalidEnvironment: The key has a character that latin-1 does not have.
    """

def sign_v1(key: str, id: str, time: str, method: str, target: str, body: bytes) -> tuple[str, str]:
    """`X-Job-Hash` and `X-Job-Signature` of profile v1 (clauses SIG-7 and SIG-8).

    Args:
        key: The attempt's key.
        id: `X-Job-Id`.
        time: `X-Job-Time`: milliseconds since the Unix epoch, in decimal.
        method: In upper case.
        target: What follows the hook's address, such as `/status`.
        body: The bytes that are sent.

    Raises:
        InvalidEnvironment: The key has a character that latin-1 does not have.
    """

def attempt_key(master: bytes, id: str, attempt: int, nonce: str) -> str:
    """The key of an attempt, as a server derives it (clause KEY-1).

    Raises:
        ValueError: `attempt` is 0, or `nonce` is not 32 lower-case hex digits.
    """

def verify(
    key: str | None,
    id: str,
    headers: Sequence[tuple[str, str]],
    method: str,
    target: str,
    body: bytes,
    *,
    now_ms: int,
    max_clock_skew_ms: int | None,
    require_signature: bool,
) -> str | None:
    """Judges a request to the hook as a server does (clauses SIG-1 and following).

    Args:
        key: The key of the attempt that has `X-Job-Id`; `None` if there is none.
        id: The id of its action.
        headers: As received; a name may come twice, in any spelling.
        method: As received.
        target: Path and query after the hook's address, as received.
        body: The bytes.
        now_ms: The clock, milliseconds since the Unix epoch.
        max_clock_skew_ms: How far apart the clocks may be, both ways; `None` checks no time but
            that of v1, which is five minutes.
        require_signature: Whether the hash of the original is not enough.

    Returns:
        The code of the refusal, from section 9 of the protocol; `None` if it is believed.
    """

def status_after(status: str, event: str) -> str | None:
    """The status that follows an event (clauses LIFE-1 and following).

    Args:
        status: Such as `RUNNING`.
        event: As the vectors name it, such as `reported_success`.

    Returns:
        `None` if the event is not possible then.

    Raises:
        ValueError: There is no such status or event.
    """
