"""`jobhook.run`: programs that are their operations, started by hand, by a hook, by a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from conftest import BOUND_S, Run, Server

from jobhook import Launcher, Refused
from jobhook.testing import FakeHook

PROGRAM = """
from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import jobhook
from jobhook import AsyncJob, Job


@dataclass
class Input:
    rows: list[str]
    fail: bool = False


@dataclass
class Output:
    rows: int


@jobhook.operation("Report.Generate")
def generate(job: Job, input: Input) -> Output:
    for row in job.progress(input.rows, desc="writing"):
        job.log(f"row {row}")
    if input.fail:
        raise LookupError("no paper")
    return Output(len(input.rows))


@jobhook.operation("Report.Async")
async def generate_async(job: AsyncJob, input: Input) -> Output:
    await asyncio.sleep(0)
    return generate(job._job, input)


@jobhook.operation("Wrong.Output")
def wrong() -> int:
    return {1}


@jobhook.operation("Wait.Sync")
def wait_sync(job: Job) -> None:
    job.log("waiting")
    while True:
        job.check()


@jobhook.operation("Wait.Async")
async def wait_async(job: AsyncJob) -> None:
    job.log("waiting")
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)


@jobhook.operation("Anything")
def anything(input: object) -> object:
    return input


if __name__ == "__main__":
    jobhook.run()
"""

ByHand: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def by_hand(tmp_path: Path) -> ByHand:
    """Runs the program with these arguments, and only these variables of a job."""
    (tmp_path / "reports.py").write_text(PROGRAM)

    def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {name: it for name, it in os.environ.items() if not name.startswith("JOB_")}
        command = [sys.executable, "reports.py", *arguments]
        return subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env=environ | variables,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
        )

    return start


def test_started_by_hand_it_says_what_it_is(by_hand: ByHand) -> None:
    ran = by_hand()
    assert (ran.returncode, ran.stdout) == (64, "")
    assert "reports.py runs these operations" in ran.stderr
    assert "\n  Report.Generate\n" in ran.stderr
    assert "`reports.py operations` prints their definitions" in ran.stderr
    ran = by_hand("operation")
    assert (ran.returncode, ran.stdout) == (64, "")
    assert ran.stderr.startswith("unknown arguments: operation\n")


def test_it_prints_its_definitions_also_where_it_is_a_job(
    by_hand: ByHand, job_hook: FakeHook
) -> None:
    ran = by_hand("operations")
    assert (ran.returncode, ran.stderr) == (0, "")
    known = json.loads(ran.stdout)
    assert known["application"] == {"name": "reports", "version": "0.0.0"}
    assert known["schemas"]["report.generate.input"]["required"] == ["rows"]
    assert ran.stdout == json.dumps(known, indent=2, sort_keys=True) + "\n"
    assert by_hand("operations", **job_hook.environ).stdout == ran.stdout
    assert job_hook.requests == 0


def test_a_job_that_misses_a_variable_is_told_which(by_hand: ByHand, job_hook: FakeHook) -> None:
    ran = by_hand(JOB_ID="an-id", JOB_HOOK=job_hook.environ["JOB_HOOK"])
    assert ran.returncode == 1
    assert "JOB_SECRET_KEY" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("id", ["Report.Generate", "Report.Async"])
def test_the_operation_of_an_action_is_run(by_hand: ByHand, job_hook: FakeHook, id: str) -> None:
    job_hook.set_field("operationId", id)
    job_hook.arguments = {"rows": ["a", "b"]}
    ran = by_hand(**job_hook.environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (job_hook.status, job_hook.results) == ("SUCCESS", {"rows": 2})
    assert job_hook.lines == ["row a", "row b"]
    assert job_hook.progress is not None
    assert job_hook.progress["percent"] == 100


def test_an_action_whose_type_is_the_operation_is_run(by_hand: ByHand, job_hook: FakeHook) -> None:
    job_hook.set_field("type", "Report.Generate")
    job_hook.arguments = {"rows": []}
    assert by_hand(**job_hook.environ).returncode == 0
    assert job_hook.results == {"rows": 0}


@pytest.mark.parametrize(
    "fields",
    [
        {
            "type": "AsyncOperationAction",
            "operationId": "Report.Generate",
            "context": {"input": {"type": "Buffer", "data": [*b'{\n  "rows": ["a"]\n}']}},
        },
        {
            "type": "AsyncWebdaAction",
            "serviceName": "Report",
            "method": "Generate",
            "arguments": [{"rows": ["a"]}],
        },
    ],
    ids=["operation", "method"],
)
def test_what_servers_of_the_original_name_is_run(
    by_hand: ByHand, job_hook: FakeHook, fields: dict[str, Any]
) -> None:
    for name, value in fields.items():
        job_hook.set_field(name, value)
    ran = by_hand(**job_hook.environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (job_hook.status, job_hook.results) == ("SUCCESS", {"rows": 1})


def deep() -> list[Any]:
    text = '{"rows": ' + "[" * 10_000 + "]" * 10_000 + "}"
    return [*text.encode()]


@pytest.mark.parametrize(
    ("id", "arguments", "name", "told"),
    [
        ("Report.Generate", None, "invalid_input", "/: it must be an object, and is null"),
        ("Report.Generate", {}, "invalid_input", "/rows: it is missing"),
        ("Report.Async", {"rows": "x", "n": 1}, "invalid_input", "/n: it is not expected"),
        ("Wrong.Output", None, "invalid_output", "/: it must be a whole number, and is a set"),
        ("constructor", {}, "unknown_operation", "no operation `constructor`; it has `Anything`"),
        ("Report.Generate", {"rows": ["a"], "fail": True}, "LookupError", "no paper"),
        ("Report.Async", {"rows": ["a"], "fail": True}, "LookupError", "no paper"),
    ],
)
def test_what_goes_wrong_is_an_error_with_its_name(
    by_hand: ByHand, job_hook: FakeHook, id: str, arguments: Any, name: str, told: str
) -> None:
    job_hook.set_field("operationId", id)
    job_hook.arguments = arguments
    ran = by_hand(**job_hook.environ)
    assert ran.returncode == 1
    assert told in ran.stderr
    assert (job_hook.status, job_hook.error_name) == ("ERROR", name)
    assert job_hook.error_message is not None
    assert told in job_hook.error_message
    # A traceback tells something only about what the program raised.
    assert any("Traceback" in line for line in job_hook.lines) == (name == "LookupError")


def test_an_input_ten_thousand_deep_ends_as_an_error(by_hand: ByHand, job_hook: FakeHook) -> None:
    job_hook.set_field("operationId", "Report.Generate")
    job_hook.set_field("context", {"input": {"type": "Buffer", "data": deep()}})
    assert by_hand(**job_hook.environ).returncode == 1
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "invalid_input")


def test_results_that_the_server_refuses_are_an_error(by_hand: ByHand, job_hook: FakeHook) -> None:
    job_hook.set_field("operationId", "Anything")
    job_hook.arguments = [1]
    problem = {
        "type": "https://jobhook.dev/problems/invalid_output",
        "title": "The results do not fit",
        "status": 422,
        "code": "invalid_output",
        "detail": "/0: it must be text",
    }
    job_hook.script("well", ("problem", problem))
    ran = by_hand(**job_hook.environ)
    assert ran.returncode == 1
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "invalid_output")
    assert job_hook.error_message is not None
    assert "/0: it must be text" in job_hook.error_message
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("id", ["Wait.Sync", "Wait.Async"])
@pytest.mark.parametrize("way", ["STOP", "SIGTERM"])
def test_a_cancelled_operation_ends(job_hook: FakeHook, run: Run, id: str, way: str) -> None:
    job_hook.set_field("operationId", id)
    program = run(PROGRAM.replace("jobhook.run()", "jobhook.run([])"))
    assert job_hook.wait_for_lines(1)
    if way == "STOP":
        # Said in the answer to the next report, for which the job asks within ten seconds.
        job_hook.stop()
    else:
        program.signal(signal.SIGTERM)
    if id == "Wait.Async":
        assert program.line() == "cleaned up"
    code, stderr = program.end()
    assert code == 1
    assert "Traceback" not in stderr
    assert (job_hook.status, job_hook.error_name) == ("ERROR", "JobCancelled")


CONFIG = """
[runners.reports]
type = "LocalRunner"
actions = ["Report.Generate", "Report.Async", "Wait.Sync", "Wait.Async", "Wrong.Output"]
command = {python!r}
args = ["-u", "-m", "reports"]
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """A real server that starts the program as a module."""
    (tmp_path / "reports.py").write_text(PROGRAM)
    config = CONFIG.format(python=sys.executable).replace("'", '"')
    (tmp_path / "jobhook.toml").write_text(config)
    server = Server(tmp_path)
    yield server.launcher
    server.stop()


@pytest.mark.parametrize("id", ["Report.Generate", "Report.Async"])
def test_a_server_runs_operations(launcher: Launcher, id: str) -> None:
    good = launcher.launch(id, {"rows": ["a", "b"]})
    failing = launcher.launch(id, {"rows": ["a"], "fail": True})
    wrong = launcher.launch(id, {"row": ["a"]})
    action = launcher.wait(good.uuid, timeout=BOUND_S)
    assert (action.status, action.results) == ("SUCCESS", {"rows": 2})
    lines = [it.text for it in launcher.lines(good.uuid)]
    assert lines == ["row a", "row b"]
    action = launcher.wait(failing.uuid, timeout=BOUND_S)
    assert (action.status, action.error_name) == ("ERROR", "LookupError")
    action = launcher.wait(wrong.uuid, timeout=BOUND_S)
    assert (action.status, action.error_name) == ("ERROR", "invalid_input")
    assert action.error_message is not None
    assert "/rows: it is missing; /row: it is not expected" in action.error_message


@pytest.mark.parametrize("id", ["Wait.Sync", "Wait.Async"])
def test_an_operation_that_is_cancelled_on_a_server_is_cancelled(
    launcher: Launcher, id: str
) -> None:
    action = launcher.launch(id)
    for seen in launcher.follow(action.uuid):
        if getattr(seen, "text", None) == "waiting":
            launcher.cancel(action.uuid)
    assert launcher.wait(action.uuid, timeout=BOUND_S).status == "CANCELLED"


NAMED = """
[operations]
files = ["operations.json"]
"""


@pytest.fixture
def named(tmp_path: Path, by_hand: ByHand) -> Iterator[Launcher]:
    """A real server that knows the program's operations, one of them more strictly."""
    known = json.loads(by_hand("operations").stdout)
    known["schemas"]["report.generate.output"]["properties"]["rows"]["maximum"] = 1
    (tmp_path / "operations.json").write_text(json.dumps(known))
    config = (NAMED + CONFIG).format(python=sys.executable).replace("'", '"')
    (tmp_path / "jobhook.toml").write_text(config)
    server = Server(tmp_path)
    yield server.launcher
    server.stop()


def test_an_operation_is_launched_by_its_name(named: Launcher) -> None:
    action = named.launch_operation("Report.Async", {"rows": ["a", "b"]})
    action = named.wait(action.uuid, timeout=BOUND_S)
    assert (action.type, action.status, action.results) == ("Report.Async", "SUCCESS", {"rows": 2})
    too_much = named.launch_operation("Report.Generate", {"rows": ["a", "b"]})
    action = named.wait(too_much.uuid, timeout=BOUND_S)
    assert (action.status, action.error_name) == ("ERROR", "invalid_output")
    with pytest.raises(Refused, match="rows") as raised:
        named.launch_operation("Report.Generate", {"row": 1})
    assert raised.value.code == "invalid_input"
    with pytest.raises(Refused) as raised:
        named.launch_operation("constructor")
    assert raised.value.code == "unknown_operation"
    assert len([*named.list()]) == 2, "what is refused is not stored"
