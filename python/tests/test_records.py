"""One operation in three places: in a test, as a child of a server, and written in Rust.

What it says and what is stored of it is compared field by field. The one in Rust is
`examples/rust-operation`; its records are compared with each other in `tests/servers.rs` there.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from traceback import format_exception
from typing import Any, TypeAlias

import pytest
from conftest import BOUND_S, Server, jobhook_program

from jobhook import InvalidInput, operations, testing
from jobhook.testing import FakeHook, run_operation

ID = "Report.Generate"

# What `examples/rust-operation/src/lib.rs` says in Rust.
PROGRAM = """
from __future__ import annotations

from dataclasses import dataclass

import jobhook
from jobhook import Job


@dataclass
class Sale:
    region: str
    cents: int


@dataclass
class Input:
    sales: list[Sale]


@dataclass
class Output:
    total: int
    regions: dict[str, int]


class NoReport(Exception):
    pass


@jobhook.operation("Report.Generate")
def generate(job: Job, input: Input) -> Output:
    job.log(f"adding up sales={len(input.sales)}")
    regions: dict[str, int] = {}
    for number, sale in enumerate(input.sales, 1):
        if sale.cents < 0:
            raise NoReport(f"sale {number} in {sale.region} is below zero: {sale.cents}")
        regions[sale.region] = regions.get(sale.region, 0) + sale.cents
        job.set_progress(number, len(input.sales))
    for region, cents in sorted(regions.items()):
        job.log(f"{region}: {cents}")
    return Output(sum(regions.values()), regions)


if __name__ == "__main__":
    jobhook.run()
"""

CONFIG = """
[runners.child]
type = "LocalRunner"
actions = ["Report.Generate"]
command = "{command}"
args = {args}
"""

GOOD = {
    "sales": [
        {"region": "north", "cents": 250},
        {"region": "south", "cents": 100},
        {"region": "north", "cents": 50},
    ]
}
BAD = {"sales": [{"region": "north", "cents": 250}, {"region": "west", "cents": -1}]}
WRONG: dict[str, Any] = {"sale": []}

Record: TypeAlias = dict[str, Any]
Lines: TypeAlias = dict[str, list[str]]
Run: TypeAlias = Callable[[Any], tuple[Record, Lines]]


def runner_of(server: Server) -> Run:
    """Launches the operation there, and gives its record as the API has it, and its log."""

    def run(input: Any) -> tuple[Record, Lines]:
        action = server.launcher.launch(ID, input)
        server.launcher.wait(action.uuid, timeout=BOUND_S)
        connection = HTTPConnection(server.listen, timeout=BOUND_S)
        connection.request("GET", f"/api/v1/actions/{action.uuid}")
        record: Record = json.loads(connection.getresponse().read())
        connection.close()
        lines: Lines = {}
        for line in server.launcher.lines(action.uuid):
            lines.setdefault(line.source, []).append(line.text)
        return record, lines

    return run


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Run]:
    """The operation in Python, as a child of a real server."""
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / "sales_report.py").write_text(PROGRAM)
    args = '["-u", "-m", "sales_report"]'
    (folder / "jobhook.toml").write_text(CONFIG.format(command=sys.executable, args=args))
    server = Server(folder)
    yield runner_of(server)
    server.stop()


@pytest.fixture
def child_in_rust(tmp_path: Path) -> Iterator[Run]:
    """The operation in Rust, as a child of a server of its own."""
    folder = tmp_path / "rust"
    folder.mkdir()
    program = Path(jobhook_program()).with_name("rust-operation")
    assert program.exists(), f"no {program}: `./just test-python` builds it"
    (folder / "jobhook.toml").write_text(CONFIG.format(command=program, args="[]"))
    server = Server(folder)
    yield runner_of(server)
    server.stop()


@pytest.fixture
def hooks(tmp_path: Path, child: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeHook]]:
    """The module of the child in this process, too; and the hooks of what is run here."""
    made: list[FakeHook] = []

    class Kept(FakeHook):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    # What an operation has said before it failed is in its hook only.
    monkeypatch.setattr(testing, "FakeHook", Kept)
    monkeypatch.setattr(operations, "_known", {})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "python"), *sys.path])
    importlib.import_module("sales_report")
    yield made
    del sys.modules["sales_report"]


def progress_of(record: Record) -> Record | None:
    """As `Ran.progress` has it: on the wire `percent` is `progress`."""
    details: Record | None = record.get("statusDetails")
    if details is None:
        return None
    return {"percent" if name == "progress" else name: it for name, it in details.items()}


def without_circumstances(record: Record) -> Record:
    """A record without what differs each time, which must be there, and how long its log is."""
    times = {"uuid", "lines", "createdAt", "startedAt", "finishedAt"}
    assert times <= record.keys()
    (attempt,) = record["history"]
    of_attempt = {"claimedAt", "startedAt", "closedAt"}
    assert of_attempt <= attempt.keys()
    kept = {name: it for name, it in record.items() if name not in times}
    history = {name: it for name, it in attempt.items() if name not in of_attempt}
    return kept | {"history": [history]}


def test_a_child_says_and_returns_what_the_operation_does_in_a_test(
    child: Run, hooks: list[FakeHook]
) -> None:
    ran = run_operation(ID, GOOD)
    record, lines = child(GOOD)
    assert record["status"] == hooks[0].status == "SUCCESS"
    assert (
        record["results"] == ran.results == {"total": 400, "regions": {"north": 300, "south": 100}}
    )
    assert lines == {"job": ran.lines}
    assert ran.lines == ["adding up sales=3", "north: 300", "south: 100"]
    assert progress_of(record) == ran.progress == {"done": 3, "total": 3, "percent": 100}
    assert record["witness"] == {"said": "SUCCESS", "saw": "the program exited with code 0"}
    assert not {"errorName", "errorMessage"} & record.keys()


def test_a_child_fails_as_the_operation_does_in_a_test(child: Run, hooks: list[FakeHook]) -> None:
    with pytest.raises(Exception, match=r"^sale 2 in west is below zero: -1$") as raised:
        run_operation(ID, BAD)
    record, lines = child(BAD)
    assert record["status"] == "ERROR"
    assert record["errorName"] == type(raised.value).__name__ == "NoReport"
    assert record["errorMessage"] == str(raised.value)
    said = hooks[0]
    assert said.lines == ["adding up sales=2"]
    # What Python adds comes behind, and tells the place that the exception has in the test.
    before, traceback = lines["job"][:1], lines["job"][1:]
    assert before == said.lines
    assert traceback[0] == "Traceback (most recent call last):"
    here = "".join(format_exception(raised.value)).replace("sales_report.NoReport:", "NoReport:")
    assert traceback[-3:] == here.splitlines()[-3:]
    assert traceback[-1] == "NoReport: sale 2 in west is below zero: -1"
    assert lines.keys() == {"job", "stderr"}
    assert progress_of(record) == said.progress == {"done": 1, "total": 2, "percent": 50}
    assert record["witness"] == {"said": "ERROR", "saw": "the program exited with code 1"}
    assert "results" not in record


def test_an_input_of_another_shape_is_refused_in_the_same_words(
    child: Run, hooks: list[FakeHook]
) -> None:
    with pytest.raises(InvalidInput) as raised:
        run_operation(ID, WRONG)
    record, lines = child(WRONG)
    assert record["status"] == "ERROR"
    assert record["errorName"] == raised.value.code == "invalid_input"
    assert record["errorMessage"] == str(raised.value)
    assert lines == {"stderr": [str(raised.value)]}
    assert progress_of(record) is None
    assert (hooks[0].lines, hooks[0].progress) == ([], None)


@pytest.mark.parametrize("input", [GOOD, BAD], ids=["success", "failure"])
def test_the_record_of_a_child_in_python_is_that_of_one_in_rust(
    child: Run, child_in_rust: Run, input: Any
) -> None:
    (python, python_lines), (rust, rust_lines) = child(input), child_in_rust(input)
    assert without_circumstances(python) == without_circumstances(rust)
    assert rust_lines.keys() == {"job"}
    # An event of `tracing` says where it comes from.
    told = [line.removeprefix("INFO rust_operation: ") for line in rust_lines["job"]]
    if input == GOOD:
        assert python_lines == {"job": told}
    else:
        # Only Python has tracebacks.
        assert python_lines["job"][: len(told) + 1] == [*told, "Traceback (most recent call last):"]


def test_an_input_of_another_shape_is_the_same_error_in_other_words(
    child: Run, child_in_rust: Run
) -> None:
    records = [without_circumstances(run(WRONG)[0]) for run in (child, child_in_rust)]
    for record in records:
        for said in (record, record["history"][0]):
            assert said["errorName"] == "invalid_input"
            assert "sale" in said.pop("errorMessage")
    assert records[0] == records[1]
