"""Forks, exits, and loops that hold on to the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import BOUND_S, SCALE, Run, Server

from jobhook.testing import FakeHook


def test_a_forked_child_is_told_to_make_its_own_job(job_hook: FakeHook, run: Run) -> None:
    program = run("""
        import os
        from jobhook import Job, JobOver
        job = Job.from_env()
        job.log("parent 1")
        # In the child nothing is sent that would answer it.
        receipt = job.report("RUNNING")
        job.flush()
        pid = os.fork()
        if pid == 0:
            for call in (lambda: job.log("x"), lambda: job.set_progress(1), job.flush, receipt.wait,
                         lambda: job.report("SUCCESS"), lambda: next(job.progress([1])), job.close):
                try:
                    call()
                except JobOver as error:
                    assert error.code == "job_forked", error
                    assert "after the fork" in str(error)
                else:
                    os._exit(9)
            with Job.from_env() as own:
                own.log("child")
                own.report("RUNNING").wait()
                own._has_ended = True
            raise SystemExit(7)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7, status
        job.log("parent 2")
    """)
    code, stderr = program.end()
    assert (code, stderr) == (0, "")
    assert job_hook.lines == ["parent 1", "child", "parent 2"]


def test_workers_of_a_pool_report_for_themselves(job_hook: FakeHook, run: Run) -> None:
    program = run("""
        import multiprocessing
        from jobhook import Job

        def work(number):
            job = Job.from_env()
            job.log(f"worker {number}")
            job.close()
            return number

        if __name__ == "__main__":
            with Job.from_env() as job:
                job.log("begin")
                job.flush()
                with multiprocessing.get_context("fork").Pool(3) as pool:
                    assert sorted(pool.map(work, range(6))) == list(range(6))
                job.log("end")
    """)
    code, stderr = program.end()
    assert (code, stderr) == (0, "")
    assert job_hook.lines[0] == "begin"
    assert job_hook.lines[-1] == "end"
    assert sorted(job_hook.lines[1:-1]) == [f"worker {number}" for number in range(6)]


def test_a_forked_child_ends_at_once_by_sigterm(job_hook: FakeHook, run: Run) -> None:
    """The workers of a pool caught it, and then waited for their next task for ever."""
    program = run("""
        import os, signal
        from jobhook import Job
        with Job.from_env() as job:
            pid = os.fork()
            if pid == 0:
                ours = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
                own = Job.from_env()
                again = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
                own.close()
                later = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
                os._exit(4 * ours + 2 * again + later)
            _, status = os.waitpid(pid, 0)
            job.results = [
                os.waitstatus_to_exitcode(status),
                signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL,
            ]
    """)
    code, stderr = program.end()
    assert (code, stderr) == (0, "")
    assert job_hook.results == [2, True], "only a job of its own handles it in a child"


ASYNC_ACTION = """
import asyncio
from jobhook import AsyncJob

async def main():
    async with AsyncJob.from_env() as job:
        job.log("one")
        await asyncio.sleep(0)
        job.results = 1

asyncio.run(main())
"""


@pytest.mark.timeout(300)
def test_two_hundred_short_asyncio_actions_exit_with_0(job_hook: FakeHook, tmp_path: Path) -> None:
    def once(_: int) -> tuple[int, bytes]:
        done = subprocess.run(
            [sys.executable, "-c", ASYNC_ACTION],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            timeout=BOUND_S,
            check=False,
        )
        return done.returncode, done.stderr

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(once, range(200)))
    assert ends == [(0, b"")] * 200
    assert job_hook.lines == ["one"] * 200


# How long each holds on, in seconds; the heartbeat times out after a third of it.
HOLD_S = SCALE
LOOPS = {
    "a loop of Python": f"while time.monotonic() - began < 3 * {HOLD_S}: pass",
    # One call of C that lets no other thread of Python run meanwhile; each is longer than the last.
    "a number that C computes": f"""
digits = 100_000
while time.monotonic() - began < {HOLD_S}:
    digits *= 2
    began = time.monotonic()
    (1 << 3 * digits) // (3 ** digits)
""",
    "a search in C": f"""
length = 20
while time.monotonic() - began < {HOLD_S}:
    length += 1
    began = time.monotonic()
    re.search("(a+)+b", "a" * length)
""",
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.timeout(60 + 10 * SCALE)
def test_a_loop_that_never_touches_the_job_stays_alive(server: Server, loop: str) -> None:
    code = f"""
import re, time
from jobhook import Job

with Job.from_env(heartbeat={0.1 * SCALE}) as job:
    began = time.monotonic()
{_indented(LOOPS[loop])}
    job.results = time.monotonic() - began
"""
    action = server.launcher.launch("Python", {"code": code})
    action = server.launcher.wait(action.uuid, timeout=BOUND_S + 10 * SCALE)
    assert action.status == "SUCCESS", action
    assert action.results >= HOLD_S, "it held on for long enough to be missed"


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())


def test_a_job_that_holds_still_after_its_heartbeat_stopped_is_noticed(server: Server) -> None:
    code = """
import os, signal
from jobhook import Job

job = Job.from_env(heartbeat=0.1)
job.flush()
os.kill(os.getpid(), signal.SIGSTOP)
"""
    action = server.launcher.launch("Python", {"code": code})
    action = server.launcher.wait(action.uuid, timeout=BOUND_S)
    assert action.status == "TIMEOUT"


def test_stop_of_a_real_server_reaches_a_loop_and_is_recorded_as_cancelled(
    server: Server,
) -> None:
    code = """
from itertools import count
from jobhook import Job

with Job.from_env(heartbeat=0.3) as job:
    for number in job.progress(count()):
        if number == 0:
            job.log("running")
"""
    action = server.launcher.launch("Python", {"code": code})
    for seen in server.launcher.follow(action.uuid):
        if getattr(seen, "text", None) == "running":
            server.launcher.cancel(action.uuid, "no longer needed")
            break
    action = server.launcher.wait(action.uuid, timeout=BOUND_S)
    assert action.status == "CANCELLED"
    assert action.witness is not None
    assert action.witness.said == "ERROR"
    assert action.cancel is not None
    assert action.cancel.reason == "no longer needed"


def test_a_child_of_multiprocessing_sends_its_last_report(server: Server) -> None:
    code = """
import multiprocessing
from jobhook import Job

def work(number):
    job = Job.from_env()
    job.log(f"worker {number}")
    job.report(results=number)

job = Job.from_env()
process = multiprocessing.get_context("fork").Process(target=work, args=(7,))
process.start()
process.join()
assert process.exitcode == 0
"""
    action = server.launcher.launch("Python", {"code": code})
    action = server.launcher.wait(action.uuid, timeout=BOUND_S)
    assert action.results == 7
    assert "worker 7" in [line.text for line in server.launcher.lines(action.uuid)]


def test_a_launcher_may_be_used_on_both_sides_of_a_fork(server: Server) -> None:
    action = server.launcher.launch("Python", {"code": "pass"})
    pid = os.fork()
    if pid == 0:
        try:
            server.launcher.show(action.uuid)
            server.launcher.show(action.uuid)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    server.launcher.wait(action.uuid, timeout=BOUND_S)
