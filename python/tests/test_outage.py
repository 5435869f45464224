"""A server that is away, or answers like something else.

`JOBHOOK_TEST_SCALE=24` makes the outages two minutes long.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BOUND_S, SCALE, Run, Server

from jobhook import Job, JobhookError, JobOver, Refused, ServerAway, UnexpectedAnswer
from jobhook.testing import FakeHook

OUTAGE_S = 5 * SCALE


def _go_away(hook: FakeHook) -> None:
    hook.go_away()


def _answer_503(hook: FakeHook) -> None:
    hook.behave(("refuse", 503))


def _take_then_cut(hook: FakeHook) -> None:
    hook.behave("cut_after")


def _cut_at_once(hook: FakeHook) -> None:
    hook.behave("cut_before")


def _show_a_web_page(hook: FakeHook) -> None:
    hook.behave(("web_page", 502))


@pytest.mark.parametrize(
    "outage", [_go_away, _answer_503, _take_then_cut, _cut_at_once, _show_a_web_page]
)
@pytest.mark.timeout(60 * SCALE)
def test_after_an_outage_everything_is_there_once_and_in_order(
    job_hook: FakeHook, outage: Callable[[FakeHook], None]
) -> None:
    lines: list[str] = []

    def say(job: Job) -> None:
        lines.append(f"line {len(lines)}")
        job.log(lines[-1])
        job.report(results={"lines": len(lines)})

    # Each report is a request of its own, and there are thousands.
    with Job.from_env(flush_limit=30 * SCALE) as job:
        say(job)
        job.flush()
        outage(job_hook)
        over = threading.Event()
        timer = threading.Timer(OUTAGE_S, over.set)
        timer.start()
        while not over.wait(0.01):
            say(job)
        timer.join()
        if outage is _go_away:
            job_hook.come_back()
        job_hook.behave("well")
        job.flush()
        say(job)
        job.results = {"lines": len(lines)}
    assert job_hook.lines == lines
    said = [report["results"]["lines"] for report in job_hook.reports if "results" in report]
    assert said == [*range(1, len(lines) + 1), len(lines)]
    assert job_hook.status == "SUCCESS"


@pytest.mark.timeout(60 + OUTAGE_S)
def test_a_server_killed_in_the_middle_of_a_job_misses_nothing(server: Server) -> None:
    code = """
from jobhook import Job

with Job.from_env() as job:
    folder = job.arguments["folder"]
    for number in job.progress(range(300)):
        job.log(f"line {number}")
        job.report(results=number)
        if number in (50, 150):
            open(f"{folder}/at-{number}", "w").close()
            open(f"{folder}/on-{number}").close()
"""
    folder = server.folder
    # Who opens one end of such a file waits for the other.
    for name in ("at-50", "on-50", "at-150", "on-150"):
        os.mkfifo(folder / name)
    action = server.launcher.launch("Python", {"code": code, "folder": str(folder)})
    (folder / "at-50").read_text()
    server.kill()
    (folder / "on-50").write_text("")
    (folder / "at-150").read_text()
    threading.Event().wait(OUTAGE_S)
    server.start()
    (folder / "on-150").write_text("")
    action = server.launcher.wait(action.uuid, timeout=BOUND_S)
    assert (action.status, action.results, action.attempt) == ("SUCCESS", 299, 1)
    said = [line.text for line in server.launcher.lines(action.uuid) if line.source == "job"]
    assert said == [f"line {number}" for number in range(300)]


def test_a_server_away_for_longer_than_the_job_is_patient_ends_its_reporting(
    job_hook: FakeHook,
) -> None:
    job = Job.from_env(patience=0.2, retry_pauses=(0.01, 0.05))
    job_hook.go_away()
    job.log("x")
    with pytest.raises(ServerAway) as raised:
        job.flush()
    assert raised.value.code == "server_unreachable"
    assert "Connection refused" in str(raised.value)
    with pytest.raises(ServerAway):
        job.log("y")
    assert job.error is not None
    with pytest.raises(ServerAway):
        job.close()


def test_more_than_may_wait_is_refused_counted_and_told_in_the_log(job_hook: FakeHook) -> None:
    job = Job.from_env(spool_bytes=1000, retry_pauses=(0.01, 0.05))
    job_hook.go_away()
    refused = 0
    for number in range(100):
        try:
            job.log(f"line {number:03} of a hundred")
        except ServerAway as error:
            assert error.code == "spool_full"
            assert "1000 bytes wait to be sent" in str(error)
            refused += 1
    assert refused > 10
    job_hook.come_back()
    job.flush()
    job.log("after it")
    with pytest.raises(ServerAway):
        job.close()
    assert job_hook.lines[-1] == "after it"
    assert job_hook.lines[-2].startswith(f"[jobhook] {refused} lines are missing here")


def test_what_was_spooled_survives_the_process_and_is_sent_by_the_next(
    job_hook: FakeHook, run: Run, tmp_path: Path
) -> None:
    job_hook.go_away()
    program = run(f"""
        from jobhook import Job, ServerAway
        job = Job.from_env(spool_directory={str(tmp_path)!r}, flush_limit=0.3)
        for number in range(100):
            job.log(f"line {{number}}")
        try:
            job.close()
        except ServerAway as error:
            print(error.code, flush=True)
    """)
    assert program.line() == "flush_timeout"
    assert program.end()[0] == 0
    assert any(tmp_path.iterdir())
    job_hook.come_back()
    with Job.from_env(spool_directory=tmp_path) as job:
        job.log("the next process")
    assert job_hook.lines == [*(f"line {number}" for number in range(100)), "the next process"]
    assert not any(tmp_path.iterdir())


def test_a_full_disk_is_told_and_costs_no_line_that_memory_holds(
    job_hook: FakeHook, run: Run, tmp_path: Path
) -> None:
    job_hook.go_away()
    program = run(f"""
        import resource
        from jobhook import Job, JobhookError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        job = Job.from_env(spool_directory={str(tmp_path)!r})
        for number in range(1000):
            job.log(f"line {{number}} of a thousand")
        while job.error is None:
            pass
        print(job.error.code, str(job.error), flush=True)
        input()
        job.flush()
        try:
            job.close()
        except JobhookError as error:
            print(error.code, flush=True)
    """)
    told = program.line()
    assert told.startswith("spool_unwritable")
    assert str(tmp_path) in told
    assert "File too large" in told
    job_hook.come_back()
    assert program.process.stdin is not None
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    assert program.line() == "spool_unwritable", "close tells of the trouble once more"
    assert program.end()[0] == 0
    assert job_hook.lines == [f"line {number} of a thousand" for number in range(1000)]


def test_a_server_that_never_answers_is_told_with_the_time_that_was_waited(
    job_hook: FakeHook,
) -> None:
    job_hook.behave("silent")
    job = Job.from_env(answer_timeout=0.2, flush_limit=1.0)
    job.log("x")
    with pytest.raises(ServerAway) as raised:
        job.close()
    assert raised.value.code == "flush_timeout"
    assert "within 1 s" in str(raised.value)
    assert "no answer within 0.2 s" in str(raised.value)


@pytest.mark.parametrize(
    ("behaviour", "code", "says"),
    [
        (("web_page", 200), "unexpected_answer", "answered 200 with text/html"),
        (("web_page", 404), "unexpected_answer", "answered 404 with text/html"),
        (("redirect", "http://127.0.0.1:9/x"), "redirected", "points to http://127.0.0.1:9/x"),
    ],
)
def test_an_answer_that_no_jobhook_server_gives_is_told_at_once(
    job_hook: FakeHook, behaviour: object, code: str, says: str
) -> None:
    job_hook.behave(behaviour)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnexpectedAnswer) as raised, Job.from_env() as job:
        _ = job.arguments
    assert raised.value.code == code
    assert says in str(raised.value)


def test_a_job_that_the_server_does_not_know_is_told_so(job_hook: FakeHook) -> None:
    environ = job_hook.environ | {"JOB_SECRET_KEY": "another key"}
    with pytest.raises(Refused) as raised, Job.from_env(environ) as job:
        _ = job.arguments
    assert (raised.value.code, raised.value.status) == ("bad_signature", 403)


def test_the_clock_of_the_server_is_learnt(job_hook: FakeHook) -> None:
    job_hook.set_clock_offset(3600)
    with Job.from_env() as job:
        job.log("signed with the server's time")
    assert job_hook.status == "SUCCESS"


def test_an_exception_of_the_program_is_not_hidden_by_a_server_that_is_away(
    job_hook: FakeHook, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZeroDivisionError), Job.from_env(flush_limit=0.2):
        job_hook.go_away()
        _ = 1 // 0
    told = capsys.readouterr().err
    assert told.startswith("jobhook: ")
    assert told.endswith("(flush_timeout)\n")


def test_a_closed_stderr_hides_no_exception_and_keeps_no_job_open(
    job_hook: FakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    # There is no room for the exception's traceback, and nobody to tell that.
    with pytest.raises(ZeroDivisionError), Job.from_env(spool_bytes=0) as job:
        _ = 1 // 0
    with pytest.raises(JobOver, match="closed"):
        job.log("x")
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "ZeroDivisionError")


def test_what_is_refused_is_told_with_its_code_once(
    job_hook: FakeHook, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = job_hook.environ | {"JOB_SECRET_KEY": "another key"}
    with pytest.raises(ZeroDivisionError), Job.from_env(environ):
        _ = 1 // 0
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("jobhook: ")
    assert told.count("(bad_signature)") == 1


def refuse_results(hook: FakeHook) -> None:
    """As a server does whose operation promises others."""
    problem = {
        "type": "https://jobhook.dev/problems/invalid_output",
        "title": "The results do not fit",
        "status": 422,
        "code": "invalid_output",
        "detail": "/0: it must be text",
    }
    hook.script(("problem", problem))


def test_a_success_that_the_server_refuses_is_raised_at_the_end(job_hook: FakeHook) -> None:
    refuse_results(job_hook)
    with pytest.raises(Refused, match="/0: it must be text") as raised, Job.from_env() as job:
        job.results = [1]
    assert (raised.value.code, raised.value.status) == ("invalid_output", 422)
    assert job_hook.status is None
    refuse_results(job_hook)
    job = Job.from_env()
    job.report("SUCCESS", results=[1])
    job.log("a line may follow")
    with pytest.raises(Refused, match="/0: it must be text"):
        job.close()
    job.close()
    assert job_hook.lines == ["a line may follow"]


def test_an_error_may_follow_a_success_that_the_server_refused(job_hook: FakeHook) -> None:
    refuse_results(job_hook)
    with Job.from_env() as job:
        with pytest.raises(Refused):
            job.report("SUCCESS", results=[1]).wait()
        job.report("ERROR", error_name="unfit")
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "unfit")
    assert job.error is None


def test_trouble_is_an_error_with_a_code(job_hook: FakeHook) -> None:
    with Job.from_env(retry_pauses=(0.01, 0.02)) as job:
        job_hook.script(("refuse", 503))
        job.log("x")
        job.flush()
        assert job.error is None or isinstance(job.error, JobhookError)
