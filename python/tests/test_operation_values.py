"""How values get into an operation and out of it: bare collections, unions, choices, arguments."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pytest

from jobhook import (
    InvalidInput,
    InvalidOutput,
    InvalidSetting,
    InvalidValue,
    Job,
    operation,
    operations,
)
from jobhook.testing import run_operation


@dataclass
class Base:
    a: int


@dataclass
class Derived(Base):
    b: int = 0


class Size(NamedTuple):
    wide: int
    high: int = 1


class Cube(Size):
    pass


class Shift(TypedDict):
    at: datetime


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@pytest.fixture(autouse=True)
def no_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own."""
    monkeypatch.setattr(operations, "_known", {})


def echo(annotation: Any) -> Callable[[Any], Any]:
    """An operation that returns its input, both of that annotation."""

    def give(input: Any) -> Any:
        return input

    give.__annotations__.update({"input": annotation, "return": annotation})
    return operation("Echo")(give)


def make(annotation: Any, value: Any) -> Callable[[], Any]:
    """An operation that returns that value."""

    def made() -> Any:
        return value

    made.__annotations__["return"] = annotation
    return operation("Make")(made)


NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("annotation", "value", "json"),
    [
        (Base | Derived, Derived(1, 2), {"a": 1, "b": 2}),
        (Base | Derived, Base(1), {"a": 1}),
        (list[Base] | list[Derived], [Derived(1, 2)], [{"a": 1, "b": 2}]),
        (Sequence[int] | Annotated[Size | None, "How large."], Size(1), {"wide": 1, "high": 1}),
        (Sequence[int] | Size, (1, 2), [1, 2]),
        (Iterable[str] | dict[str, int], {"a": 1}, {"a": 1}),
        (Shift | dict[str, Any], {"at": NOON}, {"at": "2026-01-01T12:00:00+00:00"}),
        (date | datetime, NOON, "2026-01-01T12:00:00+00:00"),
        (date | datetime, NOON.date(), "2026-01-01"),
        (float | Level | None, Level.HIGH, 2),
    ],
)
def test_what_a_union_names_is_written_as_that_and_not_as_what_it_extends(
    annotation: Any, value: Any, json: Any
) -> None:
    assert run_operation(make(annotation, value)).results == json


@pytest.mark.parametrize("annotation", [Base | Derived, Derived | Base], ids=str)
def test_what_a_union_reads_it_writes_again(annotation: Any) -> None:
    ran = run_operation(echo(annotation), {"a": 1, "b": 2})
    assert ran.value == Derived(1, 2)
    assert ran.results == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (Base, Derived(1, 2), "/: it must be a Base, and is a Derived"),
        (dict[str, list[Base]], {"x": [Base(1), Derived(2)]}, "/x/1: it must be a Base, and is a"),
        (Size | Base, Cube(1), "/: it must be a Size, and is a Cube, or it must be a Base"),
        (Iterable[str], {"a": 1}, "/: it must be a Collection, and is an object"),
    ],
    ids=["one", "inside", "union", "dict"],
)
def test_what_would_lose_something_as_what_is_named_is_refused(
    annotation: Any, value: Any, told: str
) -> None:
    with pytest.raises(InvalidOutput, match=told):
        run_operation(make(annotation, value))


@pytest.mark.parametrize(
    ("bare", "whole", "json"),
    [
        ("List", list[Any], [1, "a"]),
        ("Set", set[Any], [1]),
        ("FrozenSet", frozenset[Any], [1]),
        ("AbstractSet", AbstractSet[Any], [1]),
        ("Sequence", Sequence[Any], [1, "a"]),
        ("MutableSequence", list[Any], [1]),
        ("Collection", list[Any], [1]),
        ("Iterable", list[Any], [1]),
        ("Tuple", tuple[Any, ...], [1, "a"]),
        ("Dict", dict[str, Any], {"a": 1}),
        ("Mapping", Mapping[str, Any], {"a": 1}),
        ("MutableMapping", dict[str, Any], {"a": 1}),
        (Sequence, Sequence[Any], [1, "a"]),
        (Mapping, Mapping[str, Any], {"a": 1}),
        (list, list[Any], [1, "a"]),
        (tuple, tuple[Any, ...], [1, "a"]),
        (dict, dict[str, Any], {"a": 1}),
    ],
    ids=str,
)
def test_a_collection_without_its_types_has_anything_in_it(
    bare: Any, whole: Any, json: Any
) -> None:
    annotations = [getattr(typing, bare) if isinstance(bare, str) else bare, whole]
    ran, same = (run_operation(echo(it), json) for it in annotations)
    assert (ran.value, ran.results) == (same.value, json)
    assert type(ran.value) is type(same.value)
    schemas = [operations.find(echo(it)).input_schema for it in annotations]
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (typing.Hashable, "Hashable cannot be told from JSON"),
        (typing.Callable, "Callable cannot be told from JSON"),
        (typing.Optional, "Optional is no type that can be told from JSON"),
        (dict.__class_getitem__(str), "dict[str] names 1 types, and takes 2"),
        (list.__class_getitem__((int, str)), "list[int, str] names 2 types, and takes 1"),
        (list.__class_getitem__(()), "names 0 types, and takes 1"),
    ],
    ids=str,
)
def test_a_collection_that_means_nothing_is_refused(annotation: Any, told: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        echo(annotation)
    assert told in str(raised.value)


@pytest.mark.parametrize("of", [tuple, getattr(typing, "Tuple")], ids=str)  # noqa: B009
def test_the_empty_tuple_is_read_and_written_as_one(of: Any) -> None:
    ran = run_operation(echo(of[()]), [])
    assert (ran.value, ran.results) == ((), [])
    with pytest.raises(InvalidInput, match="/: it must have 0 items, and has 1"):
        run_operation(echo(of[()]), [1])


@pytest.mark.parametrize(
    ("annotation", "json", "meant"),
    [
        (Literal[1, 2], 2.0, 2),
        (Literal[True, 1], 1.0, 1),
        (Literal[True, 1], True, True),
        (Level, 1.0, Level.LOW),
        (list[Level], [1, 2.0], [Level.LOW, Level.HIGH]),
    ],
    ids=str,
)
def test_a_choice_is_its_number_however_that_is_written(
    annotation: Any, json: Any, meant: Any
) -> None:
    ran = run_operation(echo(annotation), json)
    assert (ran.value, type(ran.value)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("annotation", "json"),
    [(Literal[1, 2], True), (Literal[1, 2], 1.5), (Literal[True], 1), (Level, True), (Level, "1")],
    ids=str,
)
def test_a_choice_is_nothing_that_json_tells_apart(annotation: Any, json: Any) -> None:
    with pytest.raises(InvalidInput, match="/: it must be one of"):
        run_operation(echo(annotation), json)


@pytest.mark.parametrize(
    ("annotation", "input", "arguments"),
    [(Any, 5, 5), (Any, {"a": (1,)}, {"a": [1]}), (Any, None, None), (Base, Base(1), {"a": 1})],
)
def test_the_arguments_of_an_operation_are_its_input(
    annotation: Any, input: Any, arguments: Any
) -> None:
    def look(job: Job, input: Any) -> Any:
        # Apart from each other, as two answers are.
        assert job.arguments is not input or not isinstance(input, dict)
        return job.arguments

    look.__annotations__.update({"job": Job, "input": annotation})
    assert run_operation(operation("Look")(look), input).value == arguments


def test_an_operation_without_an_input_has_arguments_too() -> None:
    @operation("Look")
    def look(job: Job) -> Any:
        return job.arguments

    assert run_operation(look, {"more": 1}).value == {"more": 1}


@pytest.mark.parametrize(
    ("annotation", "input", "told"),
    [
        (dict, {"a": NOON}, "input.a cannot be reported: it is a datetime, which JSON does not"),
        (dict, {1: 2}, "input cannot be reported: the key 1 is a int, and keys are text in JSON"),
        (Base, {1: 2}, "input cannot be reported: the key 1 is a int"),
        (dict[str, Any], {"a": [{1: 2}]}, "input.a[0] cannot be reported: the key 1"),
        (Any, Base(1), "input cannot be reported: it is a Base"),
        (list[int], {1}, "input cannot be reported: it is a set"),
        (float, float("nan"), "input cannot be reported: it is NaN"),
    ],
)
def test_an_input_that_no_launch_could_carry_is_refused(
    annotation: Any, input: Any, told: str
) -> None:
    with pytest.raises(InvalidValue) as raised:
        run_operation(echo(annotation), input)
    assert raised.value.code == "not_json"
    assert str(raised.value).startswith(told)


WRONG: Any = "x"


@pytest.mark.parametrize(
    ("annotation", "input", "told"),
    [
        (Base, Base(WRONG), "/a: it must be a whole number, and is text"),
        (list[Base], [Base(WRONG)], "/0/a: it must be a whole number, and is text"),
        (Base, Derived(1), "/: it must be a Base, and is a Derived"),
        (datetime, NOON.replace(tzinfo=None), "/: it has no time zone; make it with"),
    ],
)
def test_what_the_function_would_not_take_is_told_with_its_place(
    annotation: Any, input: Any, told: str
) -> None:
    with pytest.raises(InvalidValue) as raised:
        run_operation(echo(annotation), input)
    assert f"; and it is not what Echo takes: {told}" in str(raised.value)
