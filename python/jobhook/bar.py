"""A bar on a terminal, for a job that is run by hand."""

from __future__ import annotations

import shutil
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from ._jobhook import Steps

    T = TypeVar("T")

__all__ = ["drawn"]

_INTERVAL_S = 0.1


def drawn(steps: Steps[T], total: int | None, desc: str | None) -> Iterator[T]:
    """Passes the items of `steps` through and draws how many of them are done."""
    began = time.monotonic()
    drawn_at = 0.0
    try:
        for item in steps:
            now = time.monotonic()
            if now - drawn_at >= _INTERVAL_S:
                drawn_at = now
                _draw(steps.done, total, desc, now - began)
            yield item
    finally:
        _draw(steps.done, total, desc, time.monotonic() - began)
        sys.stderr.write("\n")
        sys.stderr.flush()


def _draw(done: int, total: int | None, desc: str | None, elapsed_s: float) -> None:
    head = f"{desc}: " if desc else ""
    rate = f" {done / elapsed_s:,.1f}/s" if elapsed_s > 0 else ""
    if total and done <= total:
        tail = f" {done:,}/{total:,}{rate}"
        percent = f"{100 * done // total:3d}% "
        room = shutil.get_terminal_size().columns - len(head + percent + tail) - 3
        width = max(0, min(room, 40))
        full = width * done // total
        text = f"{head}{percent}|{'█' * full}{' ' * (width - full)}|{tail}"
    else:
        text = f"{head}{done:,}{rate}"
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()
