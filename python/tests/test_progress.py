"""How far a job is: iterables that are counted, numbers that are said, bars that are drawn."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from itertools import count

import pytest

from jobhook import InvalidValue, Job, JobCancelled
from jobhook.testing import FakeHook


def test_items_pass_through_untouched_and_in_order(job_hook: FakeHook) -> None:
    items = [object() for _ in range(100)]
    with Job.from_env() as job:
        assert list(job.progress(items)) == items
    assert job_hook.progress == {"percent": 100.0, "done": 100.0, "total": 100.0}


def test_a_generator_has_no_total_unless_it_is_given(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        for _ in job.progress(x for x in range(3)):
            pass
        job.flush()
        assert job_hook.progress == {"done": 3.0}
        for _ in job.progress((x for x in range(3)), total=3):
            pass
    assert job_hook.progress == {"percent": 100.0, "done": 3.0, "total": 3.0}


def test_an_item_is_done_when_the_next_one_is_asked_for(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        for number in job.progress(range(10)):
            if number == 4:
                break
    assert job_hook.progress == {"percent": 40.0, "done": 4.0, "total": 10.0}


def test_more_items_than_foreseen_end_the_total_and_not_the_job(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        assert len(list(job.progress(iter(range(12)), total=10))) == 12
    assert job_hook.progress == {"done": 12.0}
    assert job_hook.status == "SUCCESS"


def test_an_empty_iterable_is_done_at_once(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        nothing: list[int] = []
        assert list(job.progress(nothing)) == []
    assert job_hook.progress == {"done": 0.0, "total": 0.0}


def test_an_exception_of_the_iterable_goes_through(job_hook: FakeHook) -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"), Job.from_env() as job:
        for _ in job.progress(breaks(), total=2):
            pass
    assert job_hook.error_name == "OSError"
    assert job_hook.progress == {"percent": 50.0, "done": 1.0, "total": 2.0}


def test_what_is_not_iterable_or_has_a_negative_total_is_refused(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        with pytest.raises(TypeError):
            job.progress(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidValue, match="`total` is -1"):
            job.progress([], total=-1)


@pytest.mark.parametrize(
    ("done", "total", "says"),
    [
        (-1, None, "`done` is -1"),
        (float("nan"), None, "`done` is NaN"),
        (1, -5, "`total` is -5"),
        (12, 10, "12 of 10 are done, which is more than there are"),
    ],
)
def test_progress_that_cannot_be_is_refused(
    job_hook: FakeHook, done: float, total: float | None, says: str
) -> None:
    with Job.from_env() as job, pytest.raises(InvalidValue) as raised:
        job.set_progress(done, total)
    assert raised.value.code == "invalid_value"
    assert says in str(raised.value)


def test_progress_is_reported_while_a_loop_runs_and_not_for_every_item(
    job_hook: FakeHook,
) -> None:
    with Job.from_env(progress_interval=0.01) as job:
        for number in job.progress(count()):
            if number % 1000 == 0 and job_hook.requests >= 3:
                break
    said = [it["progress"]["done"] for it in job_hook.reports if "progress" in it]
    assert said == sorted(said)
    assert 3 <= len(said) < said[-1]


def test_two_loops_one_inside_the_other_are_told_as_the_inner_one(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        for _ in job.progress(range(2), desc="outer"):
            for _ in job.progress(range(5), desc="inner"):
                pass
    assert job_hook.progress is not None
    assert job_hook.progress["done"] == 5.0


def test_a_bar_is_drawn_on_a_terminal(job_hook: FakeHook, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pty.openpty()
    with open(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Job.from_env() as job:
            assert list(job.progress("abcd", desc="letters")) == list("abcd")
    shown = ""
    while not shown.endswith("\n"):
        shown += os.read(reader, 65536).decode()
    os.close(reader)
    assert "letters: 100% |████" in shown
    assert "4/4" in shown
    assert shown.endswith("\n")
    assert job_hook.progress is not None
    assert job_hook.progress["percent"] == 100.0


def test_off_a_terminal_nothing_is_drawn(
    job_hook: FakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", printed := io.StringIO())
    with Job.from_env() as job:
        list(job.progress("abcd"))
    assert printed.getvalue() == ""


def test_tqdm_tells_the_job(job_hook: FakeHook, capsys: pytest.CaptureFixture[str]) -> None:
    from jobhook.tqdm import tqdm

    with Job.from_env() as job:
        seen = [*tqdm(range(5), job=job, desc="lines")]
    assert seen == [0, 1, 2, 3, 4]
    assert job_hook.progress == {
        "percent": 100.0,
        "done": 5.0,
        "total": 5.0,
        "message": "lines",
    }
    assert capsys.readouterr().err == "", "the bar does not fill the log"


def test_rich_tells_the_job_the_sum_of_all_tasks(job_hook: FakeHook) -> None:
    from rich.console import Console

    from jobhook.rich import JobProgress

    with Job.from_env() as job, JobProgress(job, console=Console(file=io.StringIO())) as display:
        for _ in display.track(range(4), description="first"):
            pass
        second = display.add_task("second", total=6)
        display.advance(second, 2)
    assert job_hook.progress == {
        "percent": 60.0,
        "done": 6.0,
        "total": 10.0,
        "message": "second",
    }


def test_stop_ends_loops_over_tqdm_and_rich(job_hook: FakeHook) -> None:
    from rich.console import Console

    from jobhook.rich import JobProgress
    from jobhook.tqdm import tqdm

    job_hook.stop()
    with pytest.raises(JobCancelled), Job.from_env() as job:
        job.report("RUNNING").wait()
        with pytest.raises(JobCancelled):
            for _ in tqdm(count(), job=job, mininterval=0):
                pass
        with JobProgress(job, console=Console(file=io.StringIO())) as display:
            for _ in display.track(count(), total=None):
                pass
    assert job_hook.error_name == "JobCancelled"


def test_what_was_said_before_stays_until_another_count_begins(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        job.set_progress(5, 10)
        job.flush()
        job.message("half of it")
        job.flush()
        known = {"percent": 50.0, "done": 5.0, "total": 10.0, "message": "half of it"}
        assert job_hook.progress == known
        job.set_progress(12)
    assert job_hook.progress == {"done": 12.0, "message": "half of it"}
