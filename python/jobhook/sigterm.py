"""SIGTERM as a request to the jobs of this process to end.

One handler serves all of them, and is there as long as one is open. The second SIGTERM ends the
process at once, as does one that comes while no job is open.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from .job import Job

__all__ = ["forget", "heed"]

_heeding: list[Job] = []


def heed(job: Job) -> None:
    """Lets SIGTERM cancel the job.

    Only in the main thread, where Python has its handlers, and only if nobody else handles it.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return
    current = signal.getsignal(signal.SIGTERM)
    if current is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _handle)
    elif current is not _handle:
        return
    _heeding.append(job)


def forget(job: Job) -> None:
    """Ends that. The last job that is forgotten gives the signal its usual effect back."""
    import signal
    import threading

    if job not in _heeding:
        return
    _heeding.remove(job)
    # In another thread the handler stays, and finds no job.
    is_main = threading.current_thread() is threading.main_thread()
    if not _heeding and is_main and signal.getsignal(signal.SIGTERM) is _handle:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _handle(number: int, frame: FrameType | None) -> None:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # A forked child has the list of its parent.
    own = [job for job in _heeding if job._pid == os.getpid()]
    for job in own:
        job._native.cancel("the process was told to end (SIGTERM)")
    if not own:
        signal.raise_signal(signal.SIGTERM)
