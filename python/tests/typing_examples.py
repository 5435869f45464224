"""Never run, only checked: what the types allow, and what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from typing_extensions import assert_type

from jobhook import Action, AsyncJob, Gap, Job, Launcher, LogLine, Receipt, send_status


def a_job(job: Job, paths: list[str]) -> None:
    with job:
        for path in job.progress(paths, total=3, desc="resizing"):
            assert_type(path, str)
        assert_type(job.progress(paths), Iterator[str])
        assert_type(job.arguments, Any)
        assert_type(job.report("RUNNING", message="x"), Receipt)
        job.report("QUEUED")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        job.log(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        job.id = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def an_async_job(job: AsyncJob, numbers: AsyncIterator[int]) -> None:
    async with job:
        async for number in job.progress(numbers):
            assert_type(number, int)
        job.arguments["path"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def a_launcher(launcher: Launcher) -> str:
    action = launcher.launch("Resize", {"paths": ["a"]}, attempts=2)
    assert_type(action, Action)
    for seen in launcher.follow(action.uuid):
        if isinstance(seen, LogLine):
            assert_type(seen.text, str)
        elif isinstance(seen, Gap):
            assert_type(seen.lines, int)
    assert_type(send_status(), Any)
    return action.status
