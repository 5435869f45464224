"""A hook inside the test: run an action, and look at what it reported.

    def test_the_words_are_counted(job_hook):       # a fixture, once jobhook is installed
        job_hook.arguments = {"path": "README.md"}
        main()
        assert job_hook.status == "SUCCESS"
        assert job_hook.results == {"words": 345}

It listens on a free port of this machine, believes only what is signed, and refuses what a server
refuses. Without pytest it is a context manager, `FakeHook()`.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from ._jobhook import NativeHook
from .digits import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Literal, TypeAlias

    from .operations import Operation

    Behaviour: TypeAlias = Literal[
        "well",
        "refuse",
        "cut_before",
        "cut_after",
        "cut_at",
        "damage",
        "silent",
        "problem",
        "web_page",
        "redirect",
    ]

__all__ = ["FakeFile", "FakeHook", "Ran", "run_operation"]

_VARIABLES = (
    "JOB_ID",
    "JOB_SECRET_KEY",
    "JOB_HOOK",
    "JOB_ORCHESTRATOR",
    "JOB_ATTEMPT",
    "TRACEPARENT",
)


class FakeFile(NamedTuple):
    """A file that a hook has.

    Attributes:
        bytes: Its content.
        name: Its name; `None` if it has none.
        mimetype: Its media type.
        metadata: A JSON object.
    """

    bytes: bytes
    name: str | None
    mimetype: str
    metadata: dict[str, Any]


class FakeHook:
    """A hook inside the test. As a context manager it puts its variables into `os.environ`.

    Raises:
        SystemRefused: There is no free port.
    """

    def __init__(self) -> None:
        self._native = NativeHook()
        self._before: dict[str, str | None] = {}
        self._arguments: Any = None

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a job of this hook, for `Job.from_env` or a child process."""
        return dict(self._native.variables())

    def set_environ(self, environ: Mapping[str, str]) -> None:
        """Changes them, for example to another key, or to no `JOB_ATTEMPT`."""
        self._native.set_variables(environ)

    @property
    def arguments(self) -> Any:
        """What the action was launched with."""
        return self._arguments

    @arguments.setter
    def arguments(self, value: Any) -> None:
        self._native.set_arguments(value)
        self._arguments = value

    def set_field(self, name: str, value: Any) -> None:
        """Sets a field of the action, such as `operationId`, that the answers show."""
        self._native.set_field(name, value)

    def add_input(
        self,
        content: bytes,
        name: str | None = None,
        *,
        mimetype: str | None = None,
        metadata: dict[str, Any] | None = None,
        place: tuple[str, str, str] | None = None,
    ) -> None:
        """Adds a file to what the action was launched with.

        Args:
            content: Its bytes.
            name: Its name.
            mimetype: Its media type; `application/octet-stream` if `None`.
            metadata: A JSON object.
            place: Store, object and property that have it instead.
        """
        self._native.add_file(place or self._place("inputs"), (name, mimetype, metadata), content)

    @property
    def outputs(self) -> list[FakeFile]:
        """The files that the job left, in order."""
        return self.files(*self._place("outputs"))

    def files(self, store: str, uuid: str, property: str) -> list[FakeFile]:
        """The files in a property of any object."""
        found = self._native.files((store, uuid, property))
        return [
            FakeFile(content, name, mimetype, loads(metadata))
            for name, mimetype, metadata, content in found
        ]

    def _place(self, property: str) -> tuple[str, str, str]:
        return "actions", self.environ["JOB_ID"], property

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What was applied, in order, each report as it was sent."""
        return [loads(text) for text in self._native.reports()]

    @property
    def lines(self) -> list[str]:
        """The log, in order."""
        return self._native.lines()

    @property
    def status(self) -> str | None:
        """The last status reported."""
        return self._native.status()

    @property
    def results(self) -> Any:
        """The last results reported."""
        return self._last("results")

    @property
    def error_name(self) -> str | None:
        """What went wrong, for programs."""
        name: str | None = self._last("errorName")
        return name

    @property
    def error_message(self) -> str | None:
        """What went wrong, for people."""
        text: str | None = self._last("errorMessage")
        return text

    @property
    def progress(self) -> dict[str, Any] | None:
        """What is known of the progress: `percent`, `done`, `total`, `message`."""
        known: dict[str, Any] | None = None
        for report in self.reports:
            said = report.get("progress")
            if said is None:
                continue
            # As a server does it (clause REP-21).
            gone = ("total", "percent") if "done" in said else ()
            known = {key: value for key, value in (known or {}).items() if key not in gone} | said
        return known

    @property
    def requests(self) -> int:
        """How many requests came, applied or not."""
        return self._native.requests()

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return self._native.connections()

    def wait_for_requests(self, count: int) -> bool:
        """Waits until so many requests came. `False` if they did not within 20 s."""
        return self._native.wait_for_requests(count)

    def wait_for_lines(self, count: int) -> bool:
        """Waits until so many lines are there. `False` if they were not within 20 s."""
        return self._native.wait_for_lines(count)

    def stop(self) -> None:
        """Says STOP from now on."""
        self._native.stop()

    def script(self, *behaviours: Behaviour | tuple[Behaviour, object]) -> None:
        """Sets what becomes of the next requests, one each.

        `well`: judged and answered. `("refuse", 503)`: answered with that status, not looked at.
        `cut_before`, `cut_after`: the connection is cut before or after it is applied.
        `("cut_at", 1000)`: after so many bytes of the answer. `damage`: the answer's first byte is
        another. `silent`: never answered. `("problem", {"status": 422, …})`: refused with that problem, not looked
        at. `("web_page", 200)`: answered with HTML. `("redirect", "http://…")`.

        Raises:
            InvalidSetting: There is no such behaviour.
        """
        self._native.script([_behaviour(it) for it in behaviours])

    def behave(self, behaviour: Behaviour | tuple[Behaviour, object]) -> None:
        """Sets what becomes of all requests after those of the script."""
        self._native.behave(*_behaviour(behaviour))

    def set_clock_offset(self, seconds: float) -> None:
        """Sets the hook's clock apart from the machine's."""
        self._native.set_clock_offset_ms(round(seconds * 1000))

    def go_away(self) -> None:
        """Closes the port and cuts all connections."""
        self._native.go_away()

    def come_back(self) -> None:
        """Listens again, on the same port.

        Raises:
            SystemRefused: The port was taken meanwhile.
        """
        self._native.come_back()

    def __enter__(self) -> FakeHook:
        self._before = {name: os.environ.pop(name, None) for name in _VARIABLES}
        os.environ.update(self.environ)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self.go_away()

    def _last(self, name: str) -> Any:
        for report in reversed(self.reports):
            if name in report:
                return report[name]
        return None


def _behaviour(given: Behaviour | tuple[Behaviour, object]) -> tuple[str, str | None]:
    if isinstance(given, str):
        return given, None
    name, detail = given
    return name, json.dumps(detail) if isinstance(detail, dict) else str(detail)


class Ran:
    """What came of an operation that `run_operation` ran.

    Attributes:
        value: What the function returned.
        results: The same as JSON: what its action would have.
        lines: Its log.
        progress: `percent`, `done`, `total` and `message`, as far as they are known.
    """

    def __init__(
        self, value: Any, results: Any, lines: list[str], progress: dict[str, Any] | None
    ) -> None:
        self.value = value
        self.results = results
        self.lines = lines
        self.progress = progress

    def __repr__(self) -> str:
        return f"<jobhook.testing.Ran {self.results!r}>"


def run_operation(which: str | Callable[..., Any], input: Any = None) -> Ran:
    """Runs an operation inline, without a server, and collects what it says.

    Args:
        which: Its id, or its function.
        input: What the action would be launched with, as JSON; or what the function takes, such
            as the dataclass. Its JSON is what `job.arguments` has.

    Raises:
        UnknownOperation: There is none of that id.
        InvalidValue: The input is neither JSON nor what the function takes.
        InvalidInput: The input does not fit.
        InvalidOutput: What it returned does not.
        BaseException: What the operation raised.
    """
    from .job import Job
    from .operations import find
    from .program import call, input_of, report_success

    it = find(which)
    # Not entered: the test's own variables stay as they are.
    hook = FakeHook()
    try:
        _launch(hook, it, input)
        job = Job.from_env(hook.environ, handle_sigterm=False)
        try:
            # From what the hook answers, as a program has it.
            _, text = job._native.operation()
            value = _apart(lambda: call(it, job, input_of(it, text)))
            results = it.write(value)
            report_success(job, results)
        finally:
            job.close()
        return Ran(value, results, hook.lines, hook.progress)
    finally:
        hook.go_away()


def _launch(hook: FakeHook, it: Operation, input: Any) -> None:
    """Makes the action of the hook one that was launched as that operation."""
    from .errors import InvalidValue

    hook.set_field("type", it.id)
    hook.set_field("operationId", it.id)
    own, faults = it.write_input(input)
    if own is None:
        return
    try:
        hook.arguments = own
    except InvalidValue as error:
        # As a launch says it; which takes no dataclass, so that one is told what is wrong in it.
        text = "input" + str(error).removeprefix("arguments")
        if faults:
            text += f"; and it is not what {it.id} takes: {faults}"
        raise InvalidValue(text, error.code) from None


def _apart(work: Callable[[], Any]) -> Any:
    """Does the work, in another thread if this one has an event loop already."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
