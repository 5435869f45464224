"""The launcher for asyncio: `Launcher`, with each call awaited."""

from __future__ import annotations

import asyncio

from ._jobhook import Stop
from .action import action_of
from .launcher import Launch, Launcher, not_over, seen_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import Any, TypeVar

    from .action import Action, LogLine
    from .launcher import Seen

    T = TypeVar("T")

__all__ = ["AsyncLauncher"]


class AsyncLauncher:
    """Speaks to a server; see `Launcher` for what each method does and raises."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """As `Launcher`."""
        self._launcher = Launcher(url, token=token, ca_file=ca_file)
        self._native = self._launcher._native

    async def launch(
        self,
        type: str,
        arguments: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> Action:
        """Launches an action."""
        launch = self._launcher.launch
        return await asyncio.to_thread(launch, type, arguments, attempts=attempts, timeout=timeout)

    async def launch_operation(
        self,
        id: str,
        input: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> Action:
        """Launches an operation by its name."""
        launch = self._launcher.launch_operation
        return await asyncio.to_thread(launch, id, input, attempts=attempts, timeout=timeout)

    async def launch_many(self, launches: Iterable[Launch]) -> list[Action]:
        """Launches up to 1,000 actions: all of them, or none."""
        return await asyncio.to_thread(self._launcher.launch_many, launches)

    async def show(self, uuid: str) -> Action:
        """An action, with its history."""
        return await asyncio.to_thread(self._launcher.show, uuid)

    async def list(
        self,
        *,
        status: str | Iterable[str] = (),
        type: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Action]:
        """The actions, newest first, asked for page by page."""
        found = self._launcher.list(status=status, type=type, limit=limit)
        while (action := await asyncio.to_thread(next, found, None)) is not None:
            yield action

    async def lines(self, uuid: str, *, after: int = 0) -> AsyncIterator[LogLine]:
        """The lines that are stored now, with numbers above `after`."""
        found = self._launcher.lines(uuid, after=after)
        while (line := await asyncio.to_thread(next, found, None)) is not None:
            yield line

    async def wait(self, uuid: str, *, timeout: float | None = None) -> Action:
        """Waits until an action is over. May be cancelled."""
        stop = Stop()
        text = await _stoppable(stop, lambda: self._native.wait(uuid, timeout, stop))
        if text is None:
            raise not_over(uuid, timeout)
        return action_of(text)

    async def follow(self, uuid: str, *, after: int = 0) -> AsyncIterator[Seen]:
        """What is seen of an action until it is over. May be cancelled."""
        follower = self._native.follow(uuid, after)
        stop = Stop()
        while (found := await _stoppable(stop, lambda: follower.next(stop))) is not None:
            seen = seen_of(*found)
            if seen is not None:
                yield seen

    async def cancel(self, uuid: str, reason: str | None = None) -> Action:
        """Asks for the end of an action."""
        return await asyncio.to_thread(self._launcher.cancel, uuid, reason)

    async def retry(self, uuid: str) -> Action:
        """Launches a final action again, as a new one."""
        return await asyncio.to_thread(self._launcher.retry, uuid)


async def _stoppable(stop: Stop, work: Callable[[], T]) -> T:
    """Runs `work` on a thread, which is stopped with the task, or the program could not end."""
    try:
        return await asyncio.to_thread(work)
    except asyncio.CancelledError:
        stop.set()
        raise
