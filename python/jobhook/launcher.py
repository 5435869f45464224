"""Launching and watching actions from outside, through the management API."""

from __future__ import annotations

import os

from ._jobhook import NativeLauncher
from .action import (
    Action,
    Back,
    Gap,
    LogLine,
    Lost,
    action_of,
    actions_of,
    line_of,
    lines_of,
    page_of,
)
from .errors import WaitTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeAlias

    Seen: TypeAlias = Action | LogLine | Gap | Lost | Back

__all__ = ["Launch", "Launcher"]

_DEFAULT_URL = "http://127.0.0.1:8088"
PAGE = 1000


class Launch:
    """What to launch; see `Launcher.launch`."""

    __slots__ = ("arguments", "attempts", "timeout", "type")

    def __init__(
        self,
        type: str,
        arguments: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.type = type
        self.arguments = arguments
        self.attempts = attempts
        self.timeout = timeout

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
    ) -> Action:
        """Launches an action. It is stored when this returns.

        Args:
            type: Which runner takes it.
            arguments: Any JSON.
            attempts: How many tries it has, from 1.
            timeout: Seconds that one attempt may run.

        Raises:
            InvalidValue: The arguments are not JSON.
            Refused: The server said no.
            ServerAway: No answer came; it may have been launched.
        """
        return action_of(self._native.launch((type, arguments, attempts, timeout, False)))

    def launch_operation(
        self,
        id: str,
        input: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> Action:
        """Launches an operation by its name. The server checks the input before it stores anything.

        Args:
            id: Such as `Report.Generate`.
            input: Any JSON.
            attempts: How many tries it has, from 1.
            timeout: Seconds that one attempt may run.

        Raises:
            InvalidValue: The input is not JSON.
            Refused: Codes `unknown_operation`, `invalid_input`, `not_permitted`, for example.
            ServerAway: No answer came; it may have been launched.
        """
        return action_of(self._native.launch((id, input, attempts, timeout, True)))

    def launch_many(self, launches: Iterable[Launch]) -> list[Action]:
        """Launches up to 1,000 actions: all of them, or none. Raises as `launch`."""
        wanted = [(it.type, it.arguments, it.attempts, it.timeout, False) for it in launches]
        return actions_of(self._native.launch_many(wanted))

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
            limit: At most so many; all if `None`.

        Raises:
            Refused, ServerAway: As `show`, at any step.
        """
        statuses = [status] if isinstance(status, str) else [*status]
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
        position = after
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
            Refused, ServerAway: As `wait`.
        """
        follower = self._native.follow(uuid, after)
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
