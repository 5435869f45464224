"""What an operation's annotations let in and out, and which functions are none."""

# Fields with empty defaults, and functions of all kinds in one list, are what is tested.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import enum
import functools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pytest
from typing_extensions import NotRequired

from jobhook import (
    AsyncJob,
    InvalidInput,
    InvalidOutput,
    InvalidSetting,
    InvalidValue,
    Job,
    JobhookError,
    UnknownOperation,
    operation,
    operations,
)
from jobhook.testing import FakeHook, run_operation


class Format(enum.Enum):
    PDF = "pdf"
    HTML = "html"


@dataclass
class Row:
    name: str
    count: int = 0
    below: list[Row] = field(default_factory=list)


class Limits(TypedDict):
    rows: int
    note: NotRequired[str]


class Size(NamedTuple):
    wide: int
    high: int = 1


@dataclass
class Input:
    rows: list[Row]
    format: Annotated[Format, "What is made."] = Format.PDF
    since: date | None = None
    at: datetime | None = None
    limits: Limits | None = None
    size: Size = Size(1)  # noqa: RUF009
    pair: tuple[int, str] = (1, "a")
    key: uuid.UUID | int = 3
    shares: dict[str, float] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    mode: Literal["fast", 1, None] = None  # noqa: PYI061


@dataclass
class Output:
    path: Path
    seen: Input


@pytest.fixture(autouse=True)
def no_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own."""
    monkeypatch.setattr(operations, "_known", {})


FULL = {
    "rows": [{"name": "a", "below": [{"name": "b", "count": 2}]}],
    "format": "html",
    "since": "2026-11-24",
    "at": "2026-11-24T16:00:00Z",
    "limits": {"rows": 3},
    "size": {"wide": 2},
    "pair": [2, "b"],
    "key": "6f0f8f1e-6b0c-4a6c-9f3e-111111111111",
    "shares": {"a": 1},
    "tags": ["x"],
    "mode": 1,
}


def test_an_input_becomes_what_is_annotated_and_an_output_json_again() -> None:
    @operation("Report.Generate")
    def generate(job: Job, input: Input) -> Output:
        job.log(f"{len(input.rows)} rows")
        for _ in job.progress(input.rows):
            pass
        return Output(Path("/srv/report.html"), input)

    ran = run_operation(generate, FULL)
    seen = ran.value.seen
    assert seen.rows == [Row("a", 0, [Row("b", 2)])]
    assert seen.format is Format.HTML
    assert seen.since == date(2026, 11, 24)
    assert seen.at == datetime(2026, 11, 24, 16, tzinfo=timezone.utc)
    assert seen.limits == {"rows": 3}
    assert seen.size == Size(2, 1)
    assert seen.pair == (2, "b")
    assert seen.key == uuid.UUID(FULL["key"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (seen.shares, seen.tags, seen.mode) == ({"a": 1.0}, {"x"}, 1)
    assert ran.lines == ["1 rows"]
    assert ran.progress == {"percent": 100.0, "done": 1.0, "total": 1.0}
    again = ran.results["seen"]
    assert again["rows"][0]["below"][0] == {"name": "b", "count": 2, "below": []}
    assert again["at"] == "2026-11-24T16:00:00+00:00"
    assert run_operation("Report.Generate", again).value == ran.value
    assert run_operation("Report.Generate", seen).value == ran.value


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rows": [{}]}, "/rows/0/name: it is missing"),
    ({"rows": [{"name": 3}]}, "/rows/0/name: it must be text, and is a whole number"),
    (
        {"rows": [{"name": "a", "below": [{"name": "b", "x": 1}]}]},
        "/rows/0/below/0/x: it is not expected; there are name, count, below",
    ),
    ({"rows": [{"name": "a", "count": True}]}, "/rows/0/count: it must be a whole number"),
    ({"rows": [{"name": "a", "count": 1.5}]}, "/rows/0/count: it must be a whole number"),
    ({"rows": {}}, "/rows: it must be an array, and is an object"),
    ({"format": "doc"}, '/format: it must be one of "pdf", "html"'),
    ({"since": "20261124"}, "/since: it must be a date, such as 2026-11-24"),
    ({"at": "2026-11-24T16:00:00"}, "/at: it must be a time with its offset"),
    ({"limits": {"note": 1}}, "/limits/rows: it is missing; /limits/note: it must be text"),
    ({"size": {"high": 3}}, "/size/wide: it is missing"),
    ({"pair": [1]}, "/pair: it must have 2 items, and has 1"),
    ({"pair": [1, 2]}, "/pair/1: it must be text"),
    ({"key": "no"}, "/key: it must be a UUID, or it must be a whole number"),
    ({"shares": {"a/b": "c"}}, "/shares/a~1b: it must be a number, and is text"),
    ({"tags": ["a", "a"]}, "/tags: its items must differ from each other"),
    ({"mode": True}, '/mode: it must be one of "fast", 1, null'),
    ({"other": 1}, "/other: it is not expected; there are rows, format"),
]


@pytest.mark.parametrize(("change", "told"), BAD, ids=[told.split(":")[0] for _, told in BAD])
def test_every_failing_place_is_named(change: dict[str, Any], told: str) -> None:
    @operation("Report.Generate")
    def generate(input: Input) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(InvalidInput) as raised:
        run_operation(generate, FULL | change)
    assert str(raised.value).startswith("the input does not fit Report.Generate: ")
    assert told in str(raised.value)


@pytest.mark.parametrize("value", [None, [], 3, "x", True])
def test_an_input_that_is_no_object_is_refused(value: Any) -> None:
    @operation("Report.Generate")
    def generate(input: Input) -> None: ...

    with pytest.raises(InvalidInput, match="/: it must be an object, and is "):
        run_operation(generate, value)


def test_many_faults_are_counted_and_not_all_told() -> None:
    @operation("Sum")
    def add(input: list[int]) -> int:
        return sum(input)

    with pytest.raises(InvalidInput, match=r"/19: .*; and 980 more$"):
        run_operation(add, ["x"] * 1000)


def test_an_input_ten_thousand_deep_is_refused() -> None:
    @dataclass
    class Chain:
        next: Chain | None = None

    @operation("Walk")
    def walk(input: Chain) -> None: ...

    deep: Any = None
    for _ in range(10_000):
        deep = {"next": deep}
    with pytest.raises(InvalidInput, match="deep"):
        operations.find(walk).read(deep)
    with pytest.raises(InvalidValue, match="deeper than 127 levels"):
        run_operation(walk, deep)


def test_what_a_type_checks_itself_is_told_with_its_place() -> None:
    @dataclass
    class Share:
        percent: int

        def __post_init__(self) -> None:
            if self.percent > 100:
                raise ValueError(f"{self.percent} is more than 100")

    @operation("Divide")
    def divide(input: list[Share]) -> None: ...

    with pytest.raises(InvalidInput, match="/1: 101 is more than 100"):
        run_operation(divide, [{"percent": 100}, {"percent": 101}])


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (int, "3", "/: it must be a whole number, and is text"),
        (float, float("nan"), "/: it is nan, which JSON does not have"),
        (dict[str, int], {1: 2}, "it has a key that is a whole number"),
        (list[Row], [{"name": "a"}], "/0: it must be a Row, and is an object"),
        (Limits, {"rows": 1, "more": 2}, "/more: it is not expected"),
        (datetime, datetime(2026, 1, 1), "/: it has no time zone"),
        (Any, {"when": {1, 2}}, r"results.when cannot be reported: it is a set"),
        (Any, cyclic(), "contains itself"),
    ],
)
def test_what_is_no_output_is_refused_with_its_place(
    annotation: Any, value: Any, told: str
) -> None:
    def make() -> Any:
        return value

    make.__annotations__["return"] = annotation
    with pytest.raises(InvalidOutput, match=told):
        run_operation(operation("Make")(make))


def test_an_exception_of_the_function_comes_out_as_it_is() -> None:
    @operation("Fail")
    def fail(job: Job) -> None:
        raise FileNotFoundError("nowhere")

    with pytest.raises(FileNotFoundError, match="nowhere"):
        run_operation(fail)


def test_async_operations_run_too_also_inside_of_an_event_loop() -> None:
    @operation("Double")
    async def double(job: AsyncJob, input: int) -> int:
        async for _ in job.progress(range(3)):
            await asyncio.sleep(0)
        job.log("done")
        return input * 2

    async def inside() -> Any:
        return run_operation(double, 4)

    assert run_operation(double, 3).results == 6
    ran = asyncio.run(inside())
    assert (ran.results, ran.lines, ran.progress["done"]) == (8, ["done"], 3)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that is not `async`, whatever it decorates."""

    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


def test_an_async_function_is_awaited_under_a_decorator_that_is_not() -> None:
    @operation("Double")
    @plain
    async def double(job: AsyncJob, input: int) -> int:
        await asyncio.sleep(0)
        job.log("done")
        return input * 2

    @operation("Tell")
    @plain
    async def tell(job) -> str:  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]
        return type(job).__name__

    async def inside() -> Any:
        return run_operation(double, 4)

    ran = run_operation(double, 3)
    assert (ran.results, ran.lines) == (6, ["done"])
    assert asyncio.run(inside()).results == 8
    assert run_operation(tell).results == "AsyncJob"


def test_an_async_function_that_its_decorator_runs_is_run_once() -> None:
    def runs(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(function)(lambda *arguments: asyncio.run(function(*arguments)))

    @operation("Double")
    @runs
    async def double(input: int) -> int:
        return input * 2

    assert run_operation(double, 3).results == 6


def test_a_future_of_another_event_loop_is_refused() -> None:
    loop = asyncio.new_event_loop()
    operation("Wait")(lambda: loop.create_future())
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        run_operation("Wait")
    loop.close()


def test_a_decorated_function_is_called_as_before(job_hook: FakeHook) -> None:
    @operation("Double")
    def double(input: int) -> int:
        return input * 2

    assert double(4) == 8
    assert job_hook.requests == 0


def takes_two(a: int, b: int) -> None: ...
def takes_no_type(input) -> None: ...  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]
def takes_the_job_second(input: int, job: Job) -> None: ...
def takes_two_jobs(job: Job, other: Job) -> None: ...
def takes_another_job(job: int) -> None: ...
def takes_an_async_job(job: AsyncJob) -> None: ...
def takes_a_default(input: int = 3) -> None: ...
def takes_many(*inputs: int) -> None: ...
def takes_a_keyword(*, input: int) -> None: ...
def takes_bytes(input: bytes) -> None: ...
def takes_a_function(input: Callable[[], None]) -> None: ...
def takes_numbers_as_keys(input: dict[int, str]) -> None: ...
def takes_what_is_not_there(input: Nowhere) -> None: ...  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]  # noqa: F821
def makes_many() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (takes_two, "it takes `a`, `b`; right are (job: Job, input: Input)"),
        (takes_no_type, "its `input` has no annotation (Any takes what comes)"),
        (takes_the_job_second, "it takes `input`, `job`"),
        (takes_two_jobs, "its job comes second"),
        (takes_another_job, "and not with Job"),
        (takes_an_async_job, "only an `async` function takes an AsyncJob"),
        (takes_a_default, "`input` has a default"),
        (takes_many, "it takes `*inputs: 'int'`"),
        (takes_a_keyword, "right are (job: Job"),
        (takes_bytes, "bytes cannot be told from JSON; take text, such as base64"),
        (takes_a_function, "is generic"),
        (takes_numbers_as_keys, "has keys that are not str"),
        (takes_what_is_not_there, "name 'Nowhere' is not defined; define it above"),
        (makes_many, "it is a generator"),
        (len, "must be a function"),
    ],
)
def test_an_unclear_function_is_refused_where_it_is_written(
    function: Callable[..., Any], told: str
) -> None:
    with pytest.raises(InvalidSetting) as raised:
        operation("Unclear")(function)
    assert str(raised.value).startswith("operation Unclear: ")
    assert told in str(raised.value)


@pytest.mark.parametrize("id", ["", "1a", ".a", "a b", "é", "a" * 129, "a\n", "_a"])
def test_an_id_that_is_none_is_refused(id: str) -> None:
    with pytest.raises(InvalidSetting, match=r"A-Z a-z 0-9 _ \. -"):
        operation(id)


def test_the_decorator_needs_its_parentheses() -> None:
    with pytest.raises(InvalidSetting, match=r'write @operation\("Its\.Name"\)'):
        operation(lambda: None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_two_operations_of_one_id_are_refused() -> None:
    @operation("Report.Generate")
    def one() -> None: ...

    with pytest.raises(InvalidSetting, match=r"there are two of that name: .*one \(.*py:\d+\)"):
        operation("Report.Generate")(lambda: None)
    with pytest.raises(InvalidSetting, match="only in capital letters"):
        operation("report.generate")(lambda: None)
    assert operations.find("Report.Generate").function is one


def test_an_operation_that_is_not_there_is_named() -> None:
    operation("Report.Generate")(lambda: None)
    with pytest.raises(UnknownOperation, match=r"no operation `constructor`; it has `Report\.Gen"):
        run_operation("constructor")
    with pytest.raises(JobhookError, match="is no operation"):
        run_operation(len)


def test_the_definitions_say_what_goes_in_and_out() -> None:
    @operation("Report.Generate", permission="role = 'admin'")
    def generate(job: Job, input: Input) -> Row: ...  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]

    @operation("Report.Purge")
    def purge(job: Job) -> None: ...

    known = operations.definitions("reports", "1.2")
    assert known["application"] == {"name": "reports", "version": "1.2"}
    assert known["operations"] == {
        "Report.Generate": {
            "id": "Report.Generate",
            "input": "report.generate.input",
            "output": "report.generate.output",
            "permission": "role = 'admin'",
        },
        "Report.Purge": {"id": "Report.Purge"},
    }
    taken = known["schemas"]["report.generate.input"]
    assert taken["required"] == ["rows"]
    assert taken["additionalProperties"] is False
    assert taken["properties"]["format"] == {
        "$ref": "#/$defs/Format",
        "description": "What is made.",
        "default": "pdf",
    }
    assert taken["$defs"]["Limits"]["required"] == ["rows"]
    assert taken["$defs"]["Row"]["required"] == ["name"]
    assert taken["$defs"]["Size"]["properties"]["high"] == {"type": "integer", "default": 1}
    # It refers to itself, so it has a name at the root, too.
    made = known["schemas"]["report.generate.output"]
    assert made["$ref"] == "#/$defs/Row"
    assert made["$defs"]["Row"]["required"] == ["name", "count", "below"]


class FakeModel:
    """What pydantic's models have."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    @classmethod
    def model_json_schema(cls, *, mode: str, ref_template: str) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"rows": {"$ref": ref_template.format(model="Rows")}},
            "$defs": {"Rows": {"type": "integer", "description": mode}},
        }

    @classmethod
    def model_validate(cls, value: Any) -> FakeModel:
        class Wrong(ValueError):
            def errors(self) -> list[dict[str, Any]]:
                return [{"loc": ("rows", 0), "msg": "Input should be a valid integer"}]

        if not isinstance(value.get("rows"), int):
            raise Wrong
        return cls(value["rows"])

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        return {"rows": self.rows}


def test_models_of_pydantic_are_taken_without_it() -> None:
    @operation("Count")
    def count(input: list[FakeModel]) -> FakeModel:
        return FakeModel(sum(it.rows for it in input))

    assert run_operation(count, [{"rows": 1}, {"rows": 2}]).results == {"rows": 3}
    with pytest.raises(InvalidInput, match="/1/rows/0: Input should be a valid integer"):
        run_operation(count, [{"rows": 1}, {"rows": "x"}])
    schemas = operations.definitions("", "")["schemas"]
    assert schemas["count.input"]["$defs"] == {
        "FakeModel": {
            "type": "object",
            "properties": {"rows": {"$ref": "#/$defs/FakeModel.Rows"}},
        },
        "FakeModel.Rows": {"type": "integer", "description": "validation"},
    }
    assert schemas["count.output"]["$defs"]["FakeModel.Rows"]["description"] == "serialization"
