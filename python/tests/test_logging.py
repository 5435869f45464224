"""Records of `logging` become lines of the job."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from jobhook import Job, JobLogHandler
from jobhook.testing import FakeHook


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("counting")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def test_records_are_lines_with_level_logger_and_message(
    job_hook: FakeHook, logger: logging.Logger
) -> None:
    with Job.from_env() as job:
        logger.addHandler(JobLogHandler(job))
        logger.info("%d words", 3)
        logger.debug("not wanted")
        try:
            _ = 1 // 0
        except ZeroDivisionError:
            logger.exception("no words")
    assert job_hook.lines[:3] == [
        "INFO counting: 3 words",
        "ERROR counting: no words",
        "Traceback (most recent call last):",
    ]
    assert job_hook.lines[-1].startswith("ZeroDivisionError")


def test_a_formatter_and_a_level_are_respected(job_hook: FakeHook, logger: logging.Logger) -> None:
    with Job.from_env() as job:
        handler = JobLogHandler(job, level=logging.WARNING)
        handler.setFormatter(logging.Formatter("%(message)s!"))
        logger.addHandler(handler)
        logger.info("quiet")
        logger.warning("loud")
    assert job_hook.lines == ["loud!"]


def test_logging_neither_raises_a_cancellation_nor_takes_it_away(
    job_hook: FakeHook, logger: logging.Logger
) -> None:
    job_hook.stop()
    job = Job.from_env()
    logger.addHandler(JobLogHandler(job))
    job.report("RUNNING").wait()
    logger.info("still working")
    with pytest.raises(BaseException, match="wants this job to end"):
        job.log("told")
    job.close()
    assert job_hook.lines == ["INFO counting: still working"]


def test_a_record_after_the_end_is_told_as_logging_tells_it(
    job_hook: FakeHook, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    with Job.from_env() as job:
        logger.addHandler(JobLogHandler(job))
    logger.info("too late")
    assert "JobOver" in capsys.readouterr().err
    assert job_hook.lines == []
