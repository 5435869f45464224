"""A job and a launcher for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from conftest import BOUND_S, Server

from jobhook import (
    AsyncJob,
    AsyncLauncher,
    InvalidSetting,
    Job,
    JobCancelled,
    Refused,
    WaitTimeout,
)
from jobhook.testing import FakeHook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobhook.files import OnProgress

BIG = bytes(3 << 20)
PAUSES = (0.002, 0.01)
# For an answer that never comes: longer than such a test may take.
FOR_EVER_S = 2 * BOUND_S


def test_an_async_job_reports_as_a_job_does(job_hook: FakeHook) -> None:
    job_hook.arguments = {"paths": ["a", "b"]}

    async def main() -> None:
        async with AsyncJob.from_env() as job:
            assert job.id == job_hook.environ["JOB_ID"]
            assert job.attempt == 1
            arguments = await job.arguments()
            async for path in job.progress(arguments["paths"], desc="resizing"):
                job.log(path)
            await job.report("RUNNING", message="done soon").wait()
            job.set_progress(2, 2)
            job.message("done")
            await job.flush()
            job.check()
            assert not job.is_cancelled
            assert job.error is None
            job.results = 2

    asyncio.run(main())
    assert job_hook.status == "SUCCESS"
    assert (job_hook.lines, job_hook.results) == (["a", "b"], 2)


def test_async_iterables_pass_through_and_are_counted(job_hook: FakeHook) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(5):
            await asyncio.sleep(0)
            yield number

    async def main() -> list[int]:
        async with AsyncJob.from_env() as job:
            return [number async for number in job.progress(numbers(), total=5)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert job_hook.progress == {"percent": 100.0, "done": 5.0, "total": 5.0}


def test_other_tasks_run_while_one_loops_over_progress_and_stop_ends_it(
    job_hook: FakeHook,
) -> None:
    async def main() -> None:
        async with AsyncJob.from_env(heartbeat=0.1) as job:
            asyncio.get_running_loop().call_soon(job_hook.stop)
            async for _ in job.progress(count()):
                pass

    with pytest.raises(JobCancelled):
        asyncio.run(main())
    assert job_hook.error_name == "JobCancelled"


def test_an_exception_of_an_async_job_is_reported(job_hook: FakeHook) -> None:
    async def main() -> None:
        async with AsyncJob.from_env():
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        asyncio.run(main())
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "OSError")


def test_an_exception_of_an_async_job_whose_text_is_no_unicode_is_reported(
    job_hook: FakeHook,
) -> None:
    async def main() -> None:
        async with AsyncJob.from_env() as job:
            job.message("bad \udcff")
            async for _ in job.progress([1], desc="bad \udcff"):
                raise OSError("bad \udcff")

    with pytest.raises(OSError, match="bad"):
        asyncio.run(main())
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "OSError")
    assert (job_hook.error_message or "").rstrip("\ufffd") == "bad "


def revive(hook: FakeHook) -> None:
    """Ends its silence: who waits for an answer asks again."""
    hook.go_away()
    hook.behave("well")
    hook.come_back()


Moves: TypeAlias = Callable[[AsyncJob, Path, "OnProgress"], Awaitable[object]]
MOVES: dict[str, Moves] = {
    "download": lambda job, folder, watch: job.inputs[0].download(folder, progress=watch),
    "read": lambda job, _, watch: job.inputs[0].read(progress=watch),
    "upload": lambda job, _, watch: job.outputs.upload(BIG, progress=watch),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.timeout(BOUND_S)
def test_what_a_watcher_raises_ends_the_transfer_and_comes_out_of_the_await(
    job_hook: FakeHook, tmp_path: Path, move: str
) -> None:
    """asyncio printed it, and the transfer went on."""
    job_hook.add_input(BIG, "big")
    # Some of it arrives, and then nothing more.
    job_hook.script("well", ("cut_at", 1_000_000))
    job_hook.behave("silent")
    told: list[int] = []
    unheard: list[dict[str, Any]] = []

    def watch(moved: int, of: int | None) -> None:
        told.append(moved)
        raise KeyError(moved)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
        job = AsyncJob.from_env(retry_pauses=PAUSES, answer_timeout=FOR_EVER_S)
        with pytest.raises(KeyError) as raised:
            await MOVES[move](job, tmp_path, watch)
        assert raised.value.args == (*told,), "it is told nothing after that"
        revive(job_hook)
        await job.close()

    asyncio.run(main())
    assert unheard == []
    assert [*tmp_path.iterdir()] == []
    assert job_hook.outputs == []


def test_a_watcher_that_tells_the_job_ends_the_transfer_of_a_cancelled_one(
    job_hook: FakeHook,
) -> None:
    job_hook.add_input(BIG, "big")
    unheard: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
        job = AsyncJob.from_env(retry_pauses=PAUSES, handle_sigterm=False)

        def watch(moved: int, of: int | None) -> None:
            job._native.cancel("a test")
            job.set_progress(moved, of)

        with pytest.raises(JobCancelled, match="a test"):
            await job.inputs[0].read(progress=watch)
        await job.close()

    asyncio.run(main())
    assert unheard == [], "a `JobCancelled` is no `Exception`"


async def waits_for_answer(job: AsyncJob) -> None:
    await job.report("RUNNING").wait(FOR_EVER_S)


async def flushes(job: AsyncJob) -> None:
    job.log("a line")
    await job.flush(FOR_EVER_S)


Waits: TypeAlias = Callable[[AsyncJob], Awaitable[object]]
WAITS_OF_A_JOB: dict[str, Waits] = {
    "arguments": lambda job: job.arguments(),
    "receipt": waits_for_answer,
    "flush": flushes,
    "info": lambda job: job.inputs[0].info(),
    "count": lambda job: job.inputs.count(),
}


async def cancelled(hook: FakeHook, wait: Awaitable[object]) -> None:
    """Waits until the hook was asked, and cancels that."""
    before = hook.requests
    waiting = asyncio.ensure_future(wait)
    assert await asyncio.to_thread(hook.wait_for_requests, before + 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("wait", WAITS_OF_A_JOB)
@pytest.mark.timeout(BOUND_S)
def test_a_wait_of_a_job_that_is_cancelled_does_not_keep_the_program_from_its_end(
    job_hook: FakeHook, wait: str
) -> None:
    """Its thread waited on, and `asyncio.run` for the thread: two minutes for the arguments."""
    job_hook.behave("silent")

    async def main() -> AsyncJob:
        job = AsyncJob.from_env(retry_pauses=PAUSES, answer_timeout=FOR_EVER_S)
        await cancelled(job_hook, WAITS_OF_A_JOB[wait](job))
        return job

    job = asyncio.run(main())
    revive(job_hook)
    asyncio.run(job.close())
    assert job_hook.lines == (["a line"] if wait == "flush" else [])


async def all_of(items: AsyncIterator[object]) -> None:
    async for _ in items:
        pass


Asks: TypeAlias = Callable[[AsyncLauncher], Awaitable[object]]
WAITS_OF_A_LAUNCHER: dict[str, Asks] = {
    "show": lambda launcher: launcher.show("x"),
    "list": lambda launcher: all_of(launcher.list()),
    "files": lambda launcher: all_of(launcher.files("x")),
    "lines": lambda launcher: all_of(launcher.lines("x")),
}


@pytest.mark.parametrize("wait", WAITS_OF_A_LAUNCHER)
@pytest.mark.timeout(BOUND_S)
def test_a_wait_of_a_launcher_that_is_cancelled_does_not_keep_the_program_from_its_end(
    job_hook: FakeHook, wait: str
) -> None:
    job_hook.behave("silent")
    launcher = AsyncLauncher(job_hook.environ["JOB_HOOK"])
    asyncio.run(cancelled(job_hook, WAITS_OF_A_LAUNCHER[wait](launcher)))


def test_an_async_launcher_refuses_what_cannot_be_asked_for() -> None:
    launcher = AsyncLauncher("http://127.0.0.1:1")
    for ask in (
        lambda: all_of(launcher.follow("x", after=-1)),
        lambda: all_of(launcher.lines("x", after=-1)),
        lambda: all_of(launcher.list(limit=-1)),
        lambda: all_of(launcher.files("x", property="output")),
        lambda: launcher.download_all("x", property="output"),
        lambda: launcher.launch("Python", attempts=-1),
    ):
        with pytest.raises(InvalidSetting):
            asyncio.run(ask())


def test_the_two_faces_have_the_same_methods() -> None:
    def public(face: type) -> set[str]:
        return {name for name in vars(face) if not name.startswith("_")}

    assert public(AsyncJob) == public(Job)
    from jobhook import Launcher

    assert public(AsyncLauncher) == public(Launcher)


ACTION = """
from jobhook import Job
with Job.from_env() as job:
    job.log("hello")
    job.results = 1
"""
WAITS = """
from jobhook import Job
with Job.from_env() as job:
    job.log("running")
    while True: job.check()
"""


def test_an_async_launcher_launches_follows_and_cancels(server: Server) -> None:
    async def main() -> None:
        launcher = AsyncLauncher(server.url)
        first = await launcher.launch("Python", {"code": ACTION})
        seen = [it async for it in launcher.follow(first.uuid)]
        assert "hello" in [getattr(it, "text", "") for it in seen]
        assert (await launcher.wait(first.uuid)).results == 1
        assert [line.text async for line in launcher.lines(first.uuid)] == ["hello"]
        again = await launcher.retry(first.uuid)
        await launcher.wait(again.uuid)
        assert [it.uuid async for it in launcher.list()] == [again.uuid, first.uuid]
        assert (await launcher.show(again.uuid)).retry_of == first.uuid
        with pytest.raises(Refused):
            await launcher.show("nobody")

        second = await launcher.launch("Python", {"code": WAITS})
        with pytest.raises(WaitTimeout):
            await launcher.wait(second.uuid, timeout=0.2)
        # A wait that is cancelled ends, and does not hold the program's end up.
        waiting = asyncio.create_task(launcher.wait(second.uuid))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await launcher.cancel(second.uuid)
        assert (await launcher.wait(second.uuid)).status == "CANCELLED"

    asyncio.run(main())


def test_a_program_ends_though_a_task_follows(server: Server) -> None:
    async def main() -> str:
        launcher = AsyncLauncher(server.url)
        action = await launcher.launch("Python", {"code": WAITS})

        followed = asyncio.Event()

        async def follow() -> None:
            async for _ in launcher.follow(action.uuid):
                followed.set()

        following = asyncio.create_task(follow())
        await followed.wait()
        assert not following.done()
        return action.uuid

    uuid = asyncio.run(main())
    server.launcher.cancel(uuid)
