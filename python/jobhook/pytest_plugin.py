"""The fixtures that pytest finds once jobhook is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .testing import FakeHook

__all__ = ["job_hook"]


@pytest.fixture
def job_hook() -> Iterator[FakeHook]:
    """A hook; the test is its job, so `Job.from_env()` finds it. See `jobhook.testing`."""
    with FakeHook() as hook:
        yield hook
