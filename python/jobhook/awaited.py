"""What takes its time, on a thread that asyncio waits for, and that ends with the task.

A thread cannot be cancelled, and a program does not end before its threads. So what waits there is
told when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio

from ._jobhook import Stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .files import OnProgress

    T = TypeVar("T")

__all__ = ["InLoop", "stoppable", "waited"]


class InLoop:
    """Tells `progress` in this event loop what another thread says. What it raises ends that."""

    def __init__(self, progress: OnProgress, stop: Stop) -> None:
        self._progress = progress
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self.error: BaseException | None = None

    @classmethod
    def of(cls, progress: OnProgress | None, stop: Stop) -> InLoop | None:
        """`None` where nobody wants to be told."""
        return None if progress is None else cls(progress, stop)

    def __call__(self, moved: int, of: int | None) -> None:
        self._loop.call_soon_threadsafe(self._tell, moved, of)

    def _tell(self, moved: int, of: int | None) -> None:
        if self.error is not None:
            return
        try:
            self._progress(moved, of)
        except (SystemExit, KeyboardInterrupt):
            # They end the event loop, and so this task.
            raise
        except BaseException as error:
            # Also a `JobCancelled`, which `job.set_progress` raises.
            self.error = error
            self._stop.set()


async def stoppable(stop: Stop, work: Callable[[], T], seen: InLoop | None = None) -> T:
    """Runs `work` on a thread, which `stop` ends with the task."""
    try:
        done = await asyncio.to_thread(work)
    except asyncio.CancelledError:
        stop.set()
        raise
    # Its last word came before that of the thread.
    if seen is not None and seen.error is not None:
        raise seen.error
    return done


async def waited(work: Callable[[], T]) -> T:
    """Runs `work` on a thread; what that waits for ends with the task."""
    stop = Stop()
    return await stoppable(stop, lambda: stop.during(work))
