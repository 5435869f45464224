"""Never run, only checked: what the types allow, and what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from jobhook import (
    Action,
    AsyncJob,
    Gap,
    Grant,
    Job,
    Launcher,
    LogLine,
    Receipt,
    Uploaded,
    send_status,
)


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


def files_of_a_job(job: Job) -> None:
    for file in job.inputs:
        assert_type(file.info().name, str | None)
        assert_type(file.download("a", progress=job.set_progress), Path)
    assert_type(job.inputs[0].read(), bytes)
    assert_type(job.outputs.upload(b"x", name="x").size, int)
    with open("a", "rb") as binary, open("b") as text:
        job.files("images", "cat-1", "files").upload(binary)
        job.outputs.upload(text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    job.outputs.upload(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def files_of_an_async_job(job: AsyncJob) -> None:
    async for file in job.inputs:
        assert_type(await file.read(), bytes)
    assert_type(await job.outputs.upload("a"), Uploaded)
    len(job.inputs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def files_of_an_action(launcher: Launcher) -> None:
    file = launcher.upload("a.csv", mimetype="text/csv")
    action = launcher.launch("Words", files=[file, "b.csv"], grants=[Grant("images", "*", "files")])
    for left in launcher.files(action.uuid, property="outputs"):
        assert_type(launcher.download(action.uuid, left), Path)
    Grant("images", "*", "files", "own")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


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
