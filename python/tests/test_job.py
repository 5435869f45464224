"""A job from its first call to its last."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import suppress
from itertools import count
from typing import Any, Literal

import pytest
from conftest import BOUND_S, Run

import jobhook
from jobhook import InvalidValue, Job, JobCancelled, JobOver, ServerAway
from jobhook.testing import FakeHook


def test_leaving_the_block_reports_success_with_the_results(job_hook: FakeHook) -> None:
    job_hook.arguments = {"paths": ["a", "b"]}
    with Job.from_env() as job:
        for path in job.progress(job.arguments["paths"], desc="resizing"):
            job.log(f"resizing {path}")
        job.results = {"resized": 2}
    assert job_hook.status == "SUCCESS"
    assert job_hook.results == {"resized": 2}
    assert job_hook.lines == ["resizing a", "resizing b"]
    assert job_hook.progress == {
        "percent": 100.0,
        "done": 2.0,
        "total": 2.0,
        "message": "resizing",
    }


def test_an_exception_is_reported_with_its_traceback_and_goes_on(job_hook: FakeHook) -> None:
    with pytest.raises(ZeroDivisionError), Job.from_env() as job:
        job.log("dividing")
        _ = 1 // 0
    assert job_hook.status == "ERROR"
    assert job_hook.error_name == "ZeroDivisionError"
    assert job_hook.error_message == "integer division or modulo by zero"
    assert job_hook.lines[:2] == ["dividing", "Traceback (most recent call last):"]
    assert job_hook.lines[-1] == "ZeroDivisionError: integer division or modulo by zero"
    assert any("_ = 1 // 0" in line for line in job_hook.lines)


def test_a_job_that_said_how_it_ended_is_not_overruled(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        job.report(error_name="NoSpace", error_message="the disk is full")
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "NoSpace")
    assert len([it for it in job_hook.reports if "status" in it]) == 1


@pytest.mark.parametrize(
    ("ending", "exit_code", "status"),
    [
        ("pass", 0, "SUCCESS"),
        ("sys.exit()", 0, "SUCCESS"),
        ("sys.exit(3)", 3, "ERROR"),
        ("raise ValueError('x')", 1, "ERROR"),
    ],
)
def test_the_block_says_how_it_was_left_and_changes_no_exit_code(
    job_hook: FakeHook, run: Run, ending: str, exit_code: int, status: str
) -> None:
    program = run(f"""
        import sys
        from jobhook import Job
        with Job.from_env() as job:
            job.log("last words")
            {ending}
    """)
    assert program.end()[0] == exit_code
    assert job_hook.status == status
    assert job_hook.lines[0] == "last words"


@pytest.mark.parametrize("ending", ["", "sys.exit(4)", "raise ValueError('x')"])
def test_without_a_block_the_last_lines_arrive_however_the_program_ends(
    job_hook: FakeHook, run: Run, ending: str
) -> None:
    program = run(f"""
        import sys
        from jobhook import Job
        job = Job.from_env()
        job.log("last words")
        {ending}
    """)
    program.end()
    assert job_hook.lines == ["last words"]
    assert job_hook.status is None


def test_stop_ends_a_loop_over_progress(job_hook: FakeHook) -> None:
    with (
        pytest.raises(JobCancelled, match="the server wants this job to end"),
        Job.from_env(heartbeat=0.1) as job,
    ):
        for _ in job.progress(count()):
            job_hook.stop()
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "JobCancelled")


def test_stop_is_heard_within_one_heartbeat(job_hook: FakeHook) -> None:
    with pytest.raises(JobCancelled), Job.from_env(heartbeat=0.3) as job:
        steps = job.progress(count())
        next(steps)
        assert job_hook.wait_for_requests(2)
        job_hook.stop()
        before = job_hook.requests
        for _ in steps:
            # One request may have been under way; the third of a heartbeat brings the next.
            assert job_hook.requests <= before + 3


def test_sigterm_raises_at_the_next_step(job_hook: FakeHook, run: Run) -> None:
    program = run("""
        from itertools import count
        from jobhook import Job
        with Job.from_env() as job:
            for number in job.progress(count()):
                if number == 0:
                    print("running", flush=True)
    """)
    assert program.line() == "running"
    program.signal(signal.SIGTERM)
    code, stderr = program.end()
    assert code == 1
    assert stderr.rstrip().endswith("JobCancelled: the process was told to end (SIGTERM)")
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "JobCancelled")


def test_sigterm_without_a_block_loses_no_line(job_hook: FakeHook, run: Run) -> None:
    program = run("""
        from jobhook import Job
        job = Job.from_env()
        job.log("last words")
        print("logged", flush=True)
        while True:
            job.check()
    """)
    assert program.line() == "logged"
    program.signal(signal.SIGTERM)
    code, stderr = program.end()
    assert code == 1
    assert "JobCancelled: the process was told to end (SIGTERM)" in stderr
    assert job_hook.lines == ["last words"]


def test_after_its_job_is_closed_sigterm_ends_a_process_as_usual(
    job_hook: FakeHook, run: Run
) -> None:
    program = run("""
        import signal
        from jobhook import Job
        with Job.from_env(): pass
        print("closed", flush=True)
        signal.pause()
    """)
    assert program.line() == "closed"
    program.signal(signal.SIGTERM)
    assert program.end()[0] == -signal.SIGTERM


def test_a_cancelled_job_may_still_clean_up_and_speak(job_hook: FakeHook) -> None:
    job_hook.stop()
    with pytest.raises(JobCancelled), Job.from_env() as job:
        job.report("RUNNING").wait()
        try:
            job.log("this call is told")
        finally:
            job.log("cleaning up")
            job.message("cleaning up")
            with pytest.raises(JobCancelled):
                job.check()
    assert job_hook.lines == ["cleaning up"]
    assert job_hook.error_name == "JobCancelled"


def test_a_loop_that_goes_on_after_every_exception_does_not_go_on_after_stop(
    job_hook: FakeHook,
) -> None:
    job_hook.stop()
    seen = 0
    with pytest.raises(JobCancelled), Job.from_env() as job:
        job.report("RUNNING").wait()
        for _ in range(10):
            with suppress(Exception):
                job.check()
                seen += 1
    assert seen == 0


def test_a_job_whose_work_was_done_when_stop_came_says_so(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        job_hook.stop()
        job.report("RUNNING").wait()
        job.results = 1
    assert job_hook.status == "SUCCESS"


def test_threads_keep_their_own_order_and_lose_nothing(job_hook: FakeHook) -> None:
    with Job.from_env() as job:

        def speak(name: int) -> None:
            for number in range(500):
                job.log(f"{name} {number}")

        threads = [threading.Thread(target=speak, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(job_hook.lines) == 4000
    for name in range(8):
        own = [line for line in job_hook.lines if line.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(500)]


def test_after_the_end_only_lines_may_follow_and_after_close_nothing(job_hook: FakeHook) -> None:
    job = Job.from_env()
    job.report("SUCCESS")
    job.log("a line may follow")
    with pytest.raises(JobOver) as raised:
        job.report("ERROR")
    assert raised.value.code == "job_ended"
    job.close()
    job.close()
    with pytest.raises(JobOver) as raised:
        job.log("x")
    assert raised.value.code == "job_closed"
    assert job_hook.lines == ["a line may follow"]


def test_a_status_that_no_job_says_is_refused_before_it_is_sent(job_hook: FakeHook) -> None:
    says = pytest.raises(InvalidValue, match="a job says RUNNING, SUCCESS or ERROR")
    with Job.from_env() as job, says:
        job.report("QUEUED")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert job_hook.status == "SUCCESS"


@pytest.mark.parametrize("status", ["RUNNING", "SUCCESS"])
def test_an_error_goes_with_no_other_status(
    job_hook: FakeHook, status: Literal["RUNNING", "SUCCESS"]
) -> None:
    with Job.from_env() as job:
        with pytest.raises(InvalidValue, match=f"it is {status}, and an error's"):
            job.report(status, error_name="NoSpace")
        with pytest.raises(InvalidValue, match="mean ERROR"):
            job.report(status, results=1, error_message="the disk is full")
        job.results = 2
    assert (job_hook.status, job_hook.results, job_hook.error_name) == ("SUCCESS", 2, None)


def test_what_a_report_cannot_say_is_told_by_its_name(job_hook: FakeHook) -> None:
    wrong: dict[str, Any] = {"status": 5, "logs": [1], "message": b"bytes", "error_name": 5}
    with Job.from_env() as job:
        for name, value in wrong.items():
            with pytest.raises(TypeError, match=f"^`{name}`: .*'str'"):
                job.report(**{name: value})
    assert job_hook.status == "SUCCESS"


# What `os.fsdecode` makes of the name of a file that is no UTF-8.
NAME = "bad \udcff"


def readable(text: object) -> str:
    """The text, if each byte that is no text arrived as U+FFFD."""
    assert isinstance(text, str)
    return re.sub("\ufffd+", "?", text)


def test_what_people_read_arrives_also_where_it_is_no_unicode(job_hook: FakeHook) -> None:
    said: list[object] = []
    with Job.from_env() as job:
        for say in (
            lambda: job.message(NAME),
            lambda: list(job.progress([1], desc=f"{NAME} 2")),
            lambda: job.report("RUNNING", message=f"{NAME} 3"),
            lambda: job.report(error_name=NAME, error_message=NAME),
        ):
            say()
            job.flush()
            said.append((job_hook.progress or {})["message"])
    assert [readable(it) for it in said] == ["bad ?", "bad ? 2", "bad ? 3", "bad ? 3"]
    assert job_hook.status == "ERROR"
    assert (readable(job_hook.error_name), readable(job_hook.error_message)) == ("bad ?", "bad ?")


def test_an_exception_whose_text_is_no_unicode_is_reported_and_goes_on(job_hook: FakeHook) -> None:
    error = OSError(NAME)
    with pytest.raises(OSError) as raised, Job.from_env() as job:
        raise error
    assert raised.value is error
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "OSError")
    assert readable(job_hook.error_message) == "bad ?"
    assert readable(job_hook.lines[-1]) == "OSError: bad ?"
    with pytest.raises(JobOver, match="closed"):
        job.log("x")


class NoText(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class NoTraceback(Exception):
    was_asked = False

    @property
    def __notes__(self) -> list[str]:
        # Once: should the test fail, pytest asks as well.
        if not self.was_asked:
            self.was_asked = True
            raise LookupError("no notes")
        return []


class NoCode:
    def __repr__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize(
    "error", [NoText(), NoTraceback(), SystemExit(NoCode())], ids=lambda it: type(it).__name__
)
def test_an_exception_that_cannot_be_told_is_still_an_error_of_its_type(
    job_hook: FakeHook, error: BaseException
) -> None:
    with pytest.raises(type(error)) as raised, Job.from_env():
        raise error
    assert raised.value is error
    assert (job_hook.status, job_hook.error_name) == ("ERROR", type(error).__name__)


def test_an_exception_of_millions_of_characters_is_reported_with_a_text_that_is_cut(
    job_hook: FakeHook,
) -> None:
    with pytest.raises(ValueError, match="xxx"), Job.from_env(flush_limit=BOUND_S):
        raise ValueError("x" * 12_000_000)
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "ValueError")
    text = job_hook.error_message or ""
    assert text.lstrip("x") == "… (12000000 characters in all)"
    assert text.count("x") == 65_536


def test_a_text_of_several_lines_is_several_lines(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        job.log("a\nb\r\nc\n")
        job.log("")
        job.log("\ud800 is no character")
    assert job_hook.lines[:4] == ["a", "b", "c", ""]
    assert job_hook.lines[4].strip("\ufffd") == " is no character"


def test_a_receipt_tells_what_the_server_made_of_a_report(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        receipt = job.report("RUNNING", message="begun", details=None, logs=["a", "b"])
        receipt.wait(10)
        assert job_hook.lines == ["a", "b"]
        assert job_hook.progress == {"message": "begun"}


def test_a_job_tells_who_it_is_and_never_its_key(job_hook: FakeHook) -> None:
    key = job_hook.environ["JOB_SECRET_KEY"]
    with Job.from_env() as job:
        assert job.id == job_hook.environ["JOB_ID"]
        assert job.attempt == 1
        assert job.id in repr(job)
        assert key not in repr(job)
        assert job.error is None


def test_the_package_tells_its_version() -> None:
    assert jobhook.__version__.count(".") == 2


def test_a_line_may_follow_success_inside_the_block(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        job.report("SUCCESS", results=1)
        job.report(logs=["a line may follow"])
    assert (job_hook.status, job_hook.results) == ("SUCCESS", 1)
    assert job_hook.lines == ["a line may follow"]


def test_the_error_is_said_although_there_is_no_room_for_its_traceback(
    job_hook: FakeHook, capsys: pytest.CaptureFixture[str]
) -> None:
    timer = threading.Timer(0.2, job_hook.come_back)
    with pytest.raises(ServerAway), Job.from_env(spool_bytes=2000) as job:
        job_hook.go_away()
        timer.start()
        for number in range(1000):
            job.log(f"line {number}")
    timer.join()
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "ServerAway")
    assert "spool_full" in capsys.readouterr().err


def test_sigterm_while_the_job_closes_loses_nothing(job_hook: FakeHook, run: Run) -> None:
    job_hook.behave("silent")
    program = run("""
        from jobhook import Job
        with Job.from_env() as job:
            job.results = 1
            job.log("last words")
            print("closing", flush=True)
    """)
    assert program.line() == "closing"
    assert job_hook.wait_for_requests(1)
    program.signal(signal.SIGTERM)
    job_hook.go_away()
    job_hook.behave("well")
    job_hook.come_back()
    assert program.end() == (0, "")
    assert (job_hook.status, job_hook.results) == ("SUCCESS", 1)


def test_ctrl_c_while_the_job_closes_loses_nothing(job_hook: FakeHook, run: Run) -> None:
    job_hook.behave("silent")
    program = run("""
        from jobhook import Job
        job = Job.from_env()
        job.log("last words")
        print("closing", flush=True)
        try:
            job.close()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    assert program.line() == "closing"
    assert job_hook.wait_for_requests(1)
    program.signal(signal.SIGINT)
    assert program.line() == "interrupted"
    job_hook.go_away()
    job_hook.behave("well")
    job_hook.come_back()
    assert program.end() == (0, "")
    assert job_hook.lines == ["last words"]


def test_sigterm_is_for_every_job_of_the_process(run: Run) -> None:
    program = run("""
        import os, signal
        from jobhook import Job, JobCancelled
        first, second, third = (Job.from_env() for _ in range(3))
        first.close()
        os.kill(os.getpid(), signal.SIGTERM)
        for job in (second, third):
            try:
                job.check()
            except JobCancelled as error:
                print(error, flush=True)
            job.close()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    """)
    told = "the process was told to end (SIGTERM)"
    assert [program.line(), program.line()] == [told, told]
    assert program.end() == (0, "")


def test_the_second_sigterm_ends_the_process_at_once(run: Run) -> None:
    program = run("""
        import signal
        from jobhook import Job
        job = Job.from_env()
        print("waiting", flush=True)
        while True:
            signal.pause()
    """)
    assert program.line() == "waiting"
    while program.process.poll() is None:
        program.signal(signal.SIGTERM)
    assert program.end()[0] == -signal.SIGTERM


def test_every_thread_is_told_of_a_cancellation(job_hook: FakeHook) -> None:
    job_hook.stop()
    told: list[str] = []
    job = Job.from_env()
    job.report("RUNNING").wait()

    def speak(name: str) -> None:
        try:
            job.log("x")
        except JobCancelled:
            told.append(name)
        job.log(f"{name} cleans up")

    thread = threading.Thread(target=speak, args=("worker",))
    thread.start()
    thread.join()
    speak("main")
    job.close()
    assert told == ["worker", "main"]
    assert job_hook.lines == ["worker cleans up", "main cleans up"]
