"""What a job finds, and what it says of what it does not find."""

from __future__ import annotations

import pytest

from jobhook import InvalidEnvironment, InvalidSetting, Job
from jobhook.testing import FakeHook


@pytest.mark.parametrize(
    ("name", "value", "code", "says"),
    [
        ("JOB_ID", None, "missing_variable", "JOB_ID is not set"),
        ("JOB_ID", "", "missing_variable", "JOB_ID is not set"),
        ("JOB_ID", "../x", "invalid_variable", "JOB_ID is invalid"),
        ("JOB_SECRET_KEY", None, "missing_variable", "JOB_SECRET_KEY is not set"),
        ("JOB_SECRET_KEY", "k€y", "invalid_variable", "JOB_SECRET_KEY is invalid"),
        ("JOB_HOOK", None, "missing_variable", "JOB_HOOK is not set"),
        ("JOB_HOOK", "no address", "invalid_variable", "JOB_HOOK is invalid"),
        ("JOB_HOOK", "ftp://h/async", "invalid_variable", "http"),
        ("JOB_ATTEMPT", "zero", "invalid_variable", "JOB_ATTEMPT is invalid"),
    ],
)
def test_a_variable_that_is_missing_or_wrong_is_named_and_no_key_is_shown(
    job_hook: FakeHook, name: str, value: str | None, code: str, says: str
) -> None:
    environ = job_hook.environ
    key = environ["JOB_SECRET_KEY"]
    if value is None:
        del environ[name]
    else:
        environ[name] = value
    with pytest.raises(InvalidEnvironment) as raised:
        Job.from_env(environ)
    assert raised.value.code == code
    assert says in str(raised.value)
    assert key not in str(raised.value)
    assert "k€y" not in str(raised.value)


def test_a_key_with_latin_1_characters_signs_as_the_original_does(job_hook: FakeHook) -> None:
    environ = job_hook.environ | {"JOB_SECRET_KEY": "clé ÿ"}
    job_hook.set_environ(environ)
    with Job.from_env(environ) as job:
        job.log("signed")
    assert job_hook.lines == ["signed"]


def test_without_an_attempt_the_original_is_spoken(job_hook: FakeHook) -> None:
    environ = job_hook.environ
    del environ["JOB_ATTEMPT"]
    job_hook.set_environ(environ)
    with Job.from_env(environ) as job:
        assert job.attempt is None
        job.log("a line")
        job.set_progress(1, 4)
    assert job_hook.status == "SUCCESS"
    assert all("seq" not in report for report in job_hook.reports)
    details = [it["statusDetails"] for it in job_hook.reports if "statusDetails" in it]
    assert details == [{"progress": 25.0, "done": 1.0, "total": 4.0}]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heartbeat": 0.01}, "the heartbeat is invalid: it is 0.01 s"),
        ({"heartbeat": -1.0}, "heartbeat is invalid: it is -1"),
        ({"patience": float("nan")}, "patience is invalid: it is NaN"),
        ({"flush_limit": float("inf")}, "flush_limit is invalid: it is inf"),
        ({"ca_file": "/nowhere/ca.pem", "https": True}, "/nowhere/ca.pem"),
        ({"spool_directory": "/dev/null/spool"}, "/dev/null/spool"),
        ({"spool_bytes": -1}, "spool_bytes is invalid: it is -1, and must be a whole number"),
        ({"spool_bytes": 1 << 64}, "spool_bytes is invalid: it is 18446744073709551616"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_value(
    job_hook: FakeHook, settings: dict[str, object], says: str
) -> None:
    environ = job_hook.environ
    if settings.pop("https", False):
        environ["JOB_HOOK"] = "https://127.0.0.1:1/async"
    with pytest.raises(InvalidSetting) as raised:
        Job.from_env(environ, **settings)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert says in str(raised.value)


def test_variables_that_are_no_text_are_refused(job_hook: FakeHook) -> None:
    environ: dict[str, object] = {**job_hook.environ, "JOB_ID": 5}
    with pytest.raises(TypeError):
        Job.from_env(environ)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
