"""A job and a launcher for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
from conftest import Server

from jobhook import AsyncJob, AsyncLauncher, Job, JobCancelled, Refused, WaitTimeout
from jobhook.testing import FakeHook


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
