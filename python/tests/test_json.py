"""Values travel exactly, or are refused with their place."""

from __future__ import annotations

import sys
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import pytest
from conftest import digits_up_to

from jobhook import InvalidValue, Job
from jobhook.testing import FakeHook


class Colour(IntEnum):
    RED = 3


class Name(str, Enum):
    ADA = "ada"


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (None, None),
        (True, True),
        (-0.0, -0.0),
        (1e16, 1e16),
        (0.1 + 0.2, 0.1 + 0.2),
        (5e-324, 5e-324),
        (2**63, 2**63),
        (-(10**4000), -(10**4000)),
        (Colour.RED, 3),
        (Name.ADA, "ada"),
        (Point(1, 2), [1, 2]),
        ((1, (2,)), [1, [2]]),
        ({"é": '<&>\u2028"\\ \x01 \U0001f600'}, {"é": '<&>\u2028"\\ \x01 \U0001f600'}),
        ({}, {}),
        ([], []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_json_arrives_exactly(job_hook: FakeHook, value: Any, arrives: Any) -> None:
    with Job.from_env() as job:
        job.results = {"value": value}
    assert job_hook.results == {"value": arrives}
    assert repr(job_hook.results["value"]) == repr(arrives)


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def _containing_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"loss": [0.1, float("nan")]}, "results.loss[1] cannot be reported: it is NaN"),
        (float("-inf"), "it is -inf, which JSON does not have"),
        ({1, 2}, "it is a set"),
        ("a\x00b", "NUL character"),
        (b"bytes", "it is a bytes"),
        (object(), "it is a object"),
        ({"a": {1: "x"}}, "results.a cannot be reported: the key 1 is a int"),
        ({("a", "b"): 1}, "the key ('a', 'b') is a tuple"),
        ("\ud800", "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
        (10**5000, "too many digits"),
        (_nested(128), "deeper than 127 levels"),
        (_containing_itself(), "or contains itself"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "",
)
def test_what_is_not_json_is_refused_with_its_place(
    job_hook: FakeHook, value: Any, says: str
) -> None:
    with Job.from_env() as job:
        for refused in (
            lambda: setattr(job, "results", value),
            lambda: job.report(results=value),
            lambda: job.report(details={"in": [value]}),
        ):
            with pytest.raises(InvalidValue) as raised:
                refused()
            assert raised.value.code == "not_json"
        with pytest.raises(InvalidValue) as raised:
            job.results = value
        assert says in str(raised.value)
    assert job_hook.results is None, "nothing was altered to make it fit"
    assert job_hook.status == "SUCCESS"


def test_the_deepest_value_that_a_server_takes_is_taken(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        job.results = _nested(127)
    assert job_hook.results == _nested(127)


def test_results_that_are_too_long_are_refused_with_their_size(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        with pytest.raises(InvalidValue) as raised:
            job.report(results="x" * (11 * 1024 * 1024))
        assert raised.value.code == "body_too_large"
        assert "11534" in str(raised.value)
    assert job_hook.status == "SUCCESS"


def test_results_that_changed_after_they_were_set_are_reported_as_they_are(
    job_hook: FakeHook,
) -> None:
    with Job.from_env() as job:
        job.results = counted = {"words": 1}
        counted["words"] = 2
    assert job_hook.results == {"words": 2}


def test_results_that_became_unreportable_fail_the_job_and_say_so(job_hook: FakeHook) -> None:
    with pytest.raises(InvalidValue), Job.from_env() as job:
        job.results = counted = {"words": 1.0}
        counted["words"] = float("nan")
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "InvalidValue")


def test_arguments_of_any_size_arrive_exactly(job_hook: FakeHook) -> None:
    job_hook.arguments = {"n": 10**40, "f": 1e-7, "t": "<&é"}
    with Job.from_env() as job:
        assert job.arguments == {"n": 10**40, "f": 1e-7, "t": "<&é"}
        assert job.arguments is job.arguments, "they are asked for once"


def test_a_number_longer_than_python_reads_comes_as_a_decimal(job_hook: FakeHook) -> None:
    longest = 10 ** (sys.get_int_max_str_digits() - 1)
    too_long = -(10**5000)
    with digits_up_to(0):
        job_hook.arguments = {"longest": longest, "too long": [too_long]}
        job_hook.add_input(b"x", metadata={"too long": too_long})
    with Job.from_env() as job:
        arguments = job.arguments
        assert arguments == {"longest": longest, "too long": [too_long]}
        assert type(arguments["longest"]) is int
        assert type(arguments["too long"][0]) is Decimal
        assert job.inputs[0].info().metadata == {"too long": too_long}
        assert job.inputs[0].read() == b"x"
        with pytest.raises(InvalidValue, match="it is a Decimal"):
            job.results = arguments


def test_an_action_without_arguments_has_none(job_hook: FakeHook) -> None:
    with Job.from_env() as job:
        assert job.arguments is None
