"""Every error has a class, a stable code, and survives the way to another process."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

import jobhook
from jobhook import JobCancelled, JobhookError, Refused, errors

SDK = Path(__file__).parents[2] / "crates/jobhook/src/error.rs"


def _classes() -> list[type[JobhookError]]:
    found = [getattr(errors, name) for name in errors.__all__]
    return [it for it in found if issubclass(it, JobhookError) and it is not JobhookError]


def test_every_code_of_the_sdk_is_in_the_documentation_of_a_class() -> None:
    codes = re.findall(r'=> "([a-z0-9_]+)",', SDK.read_text())
    assert len(codes) > 15
    documented = " ".join(it.__doc__ or "" for it in _classes())
    assert [code for code in codes if f"`{code}`" not in documented] == []


def test_every_error_goes_through_pickle() -> None:
    for kind in _classes():
        error = (
            kind("the text", "the_code", 404) if kind is Refused else kind("the text", "the_code")
        )
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert (str(again), again.code) == ("the text", "the_code")
    assert pickle.loads(pickle.dumps(Refused("t", "c", 409))).status == 409
    assert str(pickle.loads(pickle.dumps(JobCancelled("why")))) == "why"


def test_a_cancellation_is_no_exception_that_a_loop_may_swallow() -> None:
    assert not issubclass(JobCancelled, Exception)
    assert JobCancelled.code == "job_cancelled"


def test_errors_are_also_what_the_standard_library_calls_them() -> None:
    assert issubclass(jobhook.ServerAway, OSError)
    assert issubclass(jobhook.InvalidValue, ValueError)
    assert issubclass(jobhook.WaitTimeout, TimeoutError)


def test_every_public_name_is_there_and_documented() -> None:
    for name in jobhook.__all__:
        assert getattr(jobhook, name).__doc__
    assert set(jobhook.__all__) <= set(dir(jobhook))
    with pytest.raises(AttributeError, match="no attribute 'jobs'"):
        _ = jobhook.jobs
