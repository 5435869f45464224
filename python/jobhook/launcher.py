"""Launching and watching actions from outside, through the management API."""

from __future__ import annotations

import os
from typing import NamedTuple

from ._jobhook import LaunchFile, NativeLauncher, file_names
from .action import (
    Action,
    ActionFile,
    Back,
    Gap,
    LogLine,
    Lost,
    action_of,
    actions_of,
    files_of,
    line_of,
    lines_of,
    page_of,
)
from .errors import FileUnusable, InvalidSetting, WaitTimeout
from .files import checked, target_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Any, Literal, TypeAlias

    from ._jobhook import Wanted
    from .files import OnProgress, Source

    Seen: TypeAlias = Action | LogLine | Gap | Lost | Back
    # A file of this machine, or one that was uploaded.
    File: TypeAlias = str | os.PathLike[str] | LaunchFile

__all__ = ["Grant", "Launch", "Launcher"]

_DEFAULT_URL = "http://127.0.0.1:8088"
PAGE = 1000


class Grant(NamedTuple):
    """What a job may use beside the files of its own action.

    Attributes:
        store: Such as `images`; of `actions`, which are the files of other actions, to be read only.
        uuid: The id of an object, or `*` for any.
        property: Such as `files`, or `*` for any.
        access: Who may `write` may read as well.
    """

    store: str
    uuid: str
    property: str
    access: Literal["read", "write"] = "read"


class Launch:
    """What to launch; see `Launcher.launch`."""

    __slots__ = ("arguments", "attempts", "files", "grants", "timeout", "type")

    def __init__(
        self,
        type: str,
        arguments: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
        files: Iterable[File] | File = (),
        grants: Iterable[Grant] = (),
    ) -> None:
        self.type = type
        self.arguments = arguments
        self.attempts = attempts
        self.timeout = timeout
        self.files = files
        self.grants = grants

    def __repr__(self) -> str:
        return f"<jobhook.Launch {self.type}>"


class Launcher:
    """Speaks to a server. May be used from any thread; every call waits and lets others run.

        launcher = Launcher()
        action = launcher.launch("Resize", {"paths": ["a.png"]})
        print(launcher.wait(action.uuid).results)

    Nothing is tried again, since a launch that was not answered may have happened; only `wait`
    and `follow` go on while the server restarts.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: The server; the variable `JOBHOOK_URL` if `None`, else http://127.0.0.1:8088.
            token: What it is shown; the variable `JOBHOOK_TOKEN` if `None`, and only where the
                address is that of the variables too.
            ca_file: Certificates (PEM) to trust beside those of the machine; the variable
                `JOBHOOK_CA_FILE` if `None`.

        Raises:
            InvalidSetting: An argument is wrong. A token is not shown in the text.
        """
        if token is None and url is None:
            token = os.environ.get("JOBHOOK_TOKEN") or None
        if url is None:
            url = os.environ.get("JOBHOOK_URL") or _DEFAULT_URL
        self._native = NativeLauncher(url, token=token, ca_file=ca_file)

    def launch(
        self,
        type: str,
        arguments: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
        files: Iterable[File] | File = (),
        grants: Iterable[Grant] = (),
    ) -> Action:
        """Launches an action. It is stored when this returns.

        Args:
            type: Which runner takes it.
            arguments: Any JSON.
            attempts: How many tries it has, from 1.
            timeout: Seconds that one attempt may run.
            files: What its job finds among its inputs: paths, which are uploaded first, or what
                `upload` gave.
            grants: What its job may use beside the files of its own action.

        Raises:
            InvalidValue: The arguments are not JSON.
            InvalidSetting: A number or a grant cannot be one.
            FileUnusable: A file cannot be read.
            Refused: The server said no.
            ServerAway: No answer came; it may have been launched.
        """
        return self._launch(type, False, arguments, attempts, timeout, files, grants)

    def launch_operation(
        self,
        id: str,
        input: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
        files: Iterable[File] | File = (),
        grants: Iterable[Grant] = (),
    ) -> Action:
        """Launches an operation by its name. The server checks the input before it stores anything.

        Args:
            id: Such as `Report.Generate`.
            input: Any JSON.
            attempts: How many tries it has, from 1.
            timeout: Seconds that one attempt may run.
            files: As of `launch`.
            grants: As of `launch`.

        Raises:
            InvalidValue: The input is not JSON.
            InvalidSetting, FileUnusable: As `launch`.
            Refused: Codes `unknown_operation`, `invalid_input`, `not_permitted`, for example.
            ServerAway: No answer came; it may have been launched.
        """
        return self._launch(id, True, input, attempts, timeout, files, grants)

    def launch_many(self, launches: Iterable[Launch]) -> list[Action]:
        """Launches up to 1,000 actions: all of them, or none. Raises as `launch`."""
        wanted = [
            self._wanted(it.type, False, it.arguments, it.attempts, it.timeout, it.files, it.grants)
            for it in launches
        ]
        return actions_of(self._native.launch_many(wanted))

    def _launch(self, *wanted: Any) -> Action:
        return action_of(self._native.launch(self._wanted(*wanted)))

    def _wanted(
        self,
        what: object,
        is_operation: bool,
        arguments: Any,
        attempts: int | None,
        timeout: float | None,
        files: Iterable[File] | File,
        grants: Iterable[Grant],
    ) -> Wanted:
        if not isinstance(what, str):
            name = "id" if is_operation else "type"
            raise TypeError(f"`{name}`: {type(what).__name__!r} object is not an instance of 'str'")
        if isinstance(files, (str, os.PathLike, LaunchFile)):
            files = [files]
        return {
            "what": what,
            "is_operation": is_operation,
            "arguments": arguments,
            "attempts": attempts,
            "timeout": timeout,
            "files": [it if isinstance(it, LaunchFile) else self.upload(it) for it in files],
            "grants": [grant_of(it) for it in grants],
        }

    def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        mimetype: str | None = None,
        metadata: dict[str, Any] | None = None,
        progress: OnProgress | None = None,
    ) -> LaunchFile:
        """Uploads a file that an action is to be launched with: once, within an hour.

        Args:
            source: A path, bytes, or a file object that was opened with "rb".
            name: Its name; that of the path if `None`. Bytes and file objects have none then.
            mimetype: Its media type; `application/octet-stream` if `None`.
            metadata: A JSON object of at most 4,096 bytes.
            progress: Called with the bytes that were sent and those there are, or `None`, a few
                times a second.

        Raises:
            FileUnusable: It cannot be read.
            Refused: Codes `file_too_large` and `storage_full`, for example. Name, media type and
                metadata are looked at when it is launched.
            ServerAway: No answer came.
        """
        fields = (name, mimetype, metadata)
        file = self._native.upload(checked(source), fields, progress, None)
        assert file is not None
        return file

    def files(self, uuid: str, *, property: str | None = None) -> Iterator[ActionFile]:
        """The files of an action: what it was launched with (`inputs`), and what it left (`outputs`).

        Args:
            uuid: Which action.
            property: Only these.

        Raises:
            InvalidSetting: There is no such property.
            Refused, ServerAway: As `show`, at any step.
        """
        one_of("the property", property, (None, "inputs", "outputs"))
        cursor = None
        while True:
            found, cursor = files_of(self._native.files(uuid, cursor))
            yield from (file for file in found if property in (None, file.property))
            if cursor is None or not found:
                return

    def download(
        self,
        uuid: str,
        file: ActionFile,
        path: str | os.PathLike[str] | None = None,
        *,
        progress: OnProgress | None = None,
    ) -> Path:
        """Downloads a file of an action, and tells where it is.

        It has its name once all of it is there and was compared.

        Args:
            uuid: Which action.
            file: One of its `files`.
            path: A directory, where it goes to under the name that it has, or its MD5 if that is
                none: if the same file is there nothing is downloaded, and something else is left
                alone. Or the file, which is replaced. The current directory if `None`.
            progress: Called with the bytes that arrived and those there are, a few times a second.

        Raises:
            Refused: Code `file_not_found`, for example.
            ContentMismatch: Other bytes arrived.
            FileUnusable: It cannot be written; code `file_exists` where something else has its name
                in the directory.
            ServerAway: No answer came, or the bytes broke off.
        """
        to, replaces = path_of(file, path)
        self._native.download(uuid, file._text, (to, replaces), progress, None)
        return to

    def download_all(
        self, uuid: str, directory: str | os.PathLike[str] = ".", *, property: str = "outputs"
    ) -> list[Path]:
        """Downloads what an action left into a directory, which is made if it is not there.

        Files that share a name have their number before it. Raises as `files` and `download`.
        """
        found = list(self.files(uuid, property=property))
        paths = paths_of(found, directory)
        for file, path in zip(found, paths, strict=True):
            self._native.download(uuid, file._text, (path, False), None, None)
        return paths

    def show(self, uuid: str) -> Action:
        """An action, with its history.

        Raises:
            Refused: Code `action_not_found`, for example.
            ServerAway: No answer came.
        """
        return action_of(self._native.show(uuid))

    def list(
        self,
        *,
        status: str | Iterable[str] = (),
        type: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Action]:
        """The actions, newest first, asked for page by page.

        Args:
            status: Only these.
            type: Only this type.
            limit: At most so many, from 0; all if `None`.

        Raises:
            InvalidSetting: There is no such status, or the limit is below 0.
            Refused, ServerAway: As `show`, at any step.
        """
        statuses = [status] if isinstance(status, str) else [*status]
        if limit is not None:
            from_zero("the limit", limit)
        cursor = None
        left = limit
        while left is None or left > 0:
            page = PAGE if left is None else min(left, PAGE)
            actions, cursor = page_of(self._native.list(statuses, type, page, cursor))
            yield from actions
            if cursor is None or not actions:
                return
            if left is not None:
                left -= len(actions)

    def lines(self, uuid: str, *, after: int = 0) -> Iterator[LogLine]:
        """The lines that are stored now, with numbers above `after`. Raises as `list`."""
        position = from_zero("`after`", after)
        while True:
            # The last page has no lines; one that does not lead on is not asked for again.
            text, following = self._native.lines(uuid, position, PAGE)
            lines = lines_of(text)
            if not lines or following is None or following <= position:
                return
            position = following
            yield from lines

    def wait(self, uuid: str, *, timeout: float | None = None) -> Action:
        """Waits until an action is final and its attempt closed, through restarts of the server.

        Args:
            uuid: Which action.
            timeout: Seconds; for ever if `None`.

        Raises:
            WaitTimeout: It was not over within `timeout`.
            ServerAway: The server never answered, or was away for ten minutes.
            Refused: As `show`.
        """
        text = self._native.wait(uuid, timeout, None)
        if text is None:
            raise not_over(uuid, timeout)
        return action_of(text)

    def follow(self, uuid: str, *, after: int = 0) -> Iterator[Seen]:
        """What is seen of an action until it is over, through restarts of the server.

        Yields a `LogLine` for each line with a number above `after`, an `Action` for each change
        (the last has `closed`), a `Gap` where lines were dropped, `Lost` and `Back` when the
        server goes away and returns.

        Raises:
            InvalidSetting: `after` is below 0.
            Refused, ServerAway: As `wait`.
        """
        follower = self._native.follow(uuid, from_zero("`after`", after))
        while (found := follower.next(None)) is not None:
            seen = seen_of(*found)
            if seen is not None:
                yield seen

    def cancel(self, uuid: str, reason: str | None = None) -> Action:
        """Asks for the end of an action.

        Raises:
            Refused: Code `already_final`, for example.
            ServerAway: No answer came.
        """
        return action_of(self._native.cancel(uuid, reason))

    def retry(self, uuid: str) -> Action:
        """Launches a final action again, as a new one.

        Raises:
            Refused: Code `not_final`, for example.
            ServerAway: No answer came.
        """
        return action_of(self._native.retry(uuid))


def from_zero(name: str, number: int) -> int:
    """A number that counts.

    Raises:
        InvalidSetting: It is below zero.
    """
    if number < 0:
        raise InvalidSetting(
            f"{name} is invalid: it is {number}, and must be a whole number from 0",
            "invalid_setting",
        )
    return number


def one_of(name: str, given: str | None, choices: tuple[str | None, ...]) -> None:
    """Refuses a word that is none of these.

    Raises:
        InvalidSetting: It is none.
    """
    if given not in choices:
        words = " or ".join(word for word in choices if word is not None)
        text = f"{name} is invalid: it is {given}, and must be {words}"
        raise InvalidSetting(text, "invalid_setting")


def grant_of(given: Any) -> Grant:
    """A grant, also from a plain tuple.

    Raises:
        InvalidSetting: It is none.
    """
    if isinstance(given, str) or len(given) not in (3, 4):
        text = f"a grant is a Grant(store, uuid, property), and not {given!r}"
        raise InvalidSetting(text, "invalid_setting")
    return Grant(*given)


def path_of(file: ActionFile, path: str | os.PathLike[str] | None) -> tuple[Path, bool]:
    """Where a file goes to, and whether it replaces what is there: not by a name of its own."""
    from pathlib import Path

    if not hasattr(file, "_text"):
        what = "a file to download is one of the action's `files`"
        raise InvalidSetting(f"{what}, and not {file!r}", "invalid_setting")
    target, is_directory = target_of(path)
    return Path(target, *(file_names([file._text]) if is_directory else ())), not is_directory


def paths_of(files: list[ActionFile], directory: str | os.PathLike[str]) -> list[Path]:
    """Where files go to that go to one directory."""
    from pathlib import Path

    to = Path(directory)
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"the file {to} cannot be written: {error.strerror}"
        raise FileUnusable(text, "file_unwritable") from error
    return [to / name for name in file_names([file._text for file in files])]


def seen_of(kind: str, detail: str) -> Seen | None:
    """What a follower saw; `None` for a kind that this version does not know."""
    if kind == "line":
        return line_of(detail)
    if kind in ("action", "end"):
        return action_of(detail)
    if kind == "gap":
        return Gap(int(detail))
    if kind == "lost":
        return Lost(detail)
    if kind == "back":
        return Back()
    return None


def not_over(uuid: str, timeout: float | None) -> WaitTimeout:
    """The error of a wait that took too long."""
    return WaitTimeout(f"the action {uuid} is not over after {timeout} s", "wait_timeout")
