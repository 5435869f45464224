"""A program that is its operations, from its start to its exit code.

JOB_* is set ──▶ asks the hook what to run, runs it, reports      0, or 1 if it failed
operations ────▶ prints the definitions                           0
otherwise ─────▶ says what it is, on stderr                       64
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .digits import loads
from .errors import (
    InvalidInput,
    InvalidOutput,
    InvalidValue,
    JobCancelled,
    JobhookError,
    Refused,
    UnknownOperation,
)
from .job import Job, text_of
from .operations import Operation, definitions, find, known

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["call", "input_of", "report_success", "run"]

_OF_JOB = ("JOB_ID", "JOB_SECRET_KEY", "JOB_HOOK")
_FAILED = 1
_USAGE = 64
# How often an `async` operation that only awaits is looked after.
_LOOK_S = 0.1
# As long as a job has patience with its server.
_ANSWER_S = 900.0


def run(
    argv: Sequence[str] | None = None, *, name: str | None = None, version: str | None = None
) -> NoReturn:
    """Does what the program was started for, and ends it.

    - Started as a job, it runs the operation that the action names, and reports SUCCESS with
      what it returned, or ERROR: exit code 0 or 1. It understands servers of the original, too.
    - With the argument `operations` it prints their definitions: 0.
    - Otherwise it says on stderr what it is: 64.

    Args:
        argv: The arguments, without the program's name; those of the process if `None`.
        name: Of the application, for the definitions; the program's if `None`.
        version: Of the application; that of the installed package `name`, or the main module's
            `__version__`, if `None`.

    Raises:
        SystemExit: Always.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["operations"]:
        code = _print_definitions(name, version)
    elif any(os.environ.get(it) for it in _OF_JOB):
        code = _run_as_job()
    else:
        if arguments:
            print(f"unknown arguments: {' '.join(arguments)}\n", file=sys.stderr)
        print(_usage(), file=sys.stderr)
        code = _USAGE
    sys.exit(code)


def _print_definitions(name: str | None, version: str | None) -> int:
    name = name or _program()
    defined = definitions(name, version or _version(name))
    text = json.dumps(defined, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # In UTF-8 whatever the machine's own is: another program reads it.
    out = getattr(sys.stdout, "buffer", None)
    if out is None:
        sys.stdout.write(text + "\n")
    else:
        out.write(text.encode() + b"\n")
        out.flush()
    return 0


def _usage() -> str:
    program = Path(sys.argv[0]).name or "this program"
    operations = "\n".join(f"  {id}" for id in known()) or "  (none)"
    return f"""\
{program} runs these operations for a jobhook server, which starts it with JOB_ID,
JOB_SECRET_KEY and JOB_HOOK:

{operations}

`{program} operations` prints their definitions, which a server launches them by."""


def _run_as_job() -> int:
    try:
        job = Job.from_env()
    except JobhookError as error:
        print(error, file=sys.stderr)
        return _FAILED
    try:
        with job:
            try:
                report_success(job, _work(job))
                return 0
            except (UnknownOperation, InvalidInput, InvalidOutput) as error:
                # The name is the same in all languages, and a traceback would tell nothing.
                print(error, file=sys.stderr)
                _fail(job, error.code, text_of(error))
                return _FAILED
    except JobCancelled as cancelled:
        print(cancelled, file=sys.stderr)
    except Refused as error:
        # What was refused about results is in the action; all else only stderr can tell.
        if error.code != "invalid_output":
            print(error, file=sys.stderr)
    except Exception:
        # As Python does it, should the log not have reached the server.
        from traceback import print_exc

        print_exc()
    return _FAILED


def _fail(job: Job, name: str, text: str) -> None:
    job._has_ended = False
    job._report(True, "ERROR", error_name=name, error_message=text)


def _work(job: Job) -> Any:
    """Runs the operation of the action. Returns the JSON of what it returned."""
    id, text = job._native.operation()
    it = find(id or "")
    return it.write(call(it, job, input_of(it, text)))


def input_of(it: Operation, text: str | None) -> Any:
    """The input that an operation takes, from its JSON.

    Raises:
        InvalidInput: It does not fit.
    """
    try:
        value = None if text is None else loads(text)
    except RecursionError:
        raise InvalidInput(
            f"the input does not fit {it.id}: /: it nests arrays and objects too deeply",
            "invalid_input",
        ) from None
    return it.read(value)


def report_success(job: Job, results: Any) -> None:
    """Reports SUCCESS with what an operation returned, and waits until the server has it.

    Raises:
        InvalidOutput: It is not JSON, or the server says that it does not fit.
    """
    try:
        receipt = job._report(True, "SUCCESS", results)
    except InvalidValue as error:
        raise InvalidOutput(str(error), "invalid_output") from None
    try:
        receipt.wait(_ANSWER_S)
    except Refused as error:
        if error.code == "invalid_output":
            raise InvalidOutput(str(error), "invalid_output") from None
        raise


def call(it: Operation, job: Job, input: Any) -> Any:
    """Calls an operation. One that is `async` gets an event loop, and is cancelled with the job."""
    made = it.call(job, input)
    # A decorator may hide that a function is `async`; what it returned does not.
    if not inspect.isawaitable(made):
        return made
    import asyncio

    return asyncio.run(_watched(job, made if inspect.iscoroutine(made) else _awaited(made)))


async def _awaited(work: Awaitable[Any]) -> Any:
    """What belongs to another event loop is refused here, where `asyncio.wait` waited for ever."""
    return await work


async def _watched(job: Job, work: Awaitable[Any]) -> Any:
    import asyncio

    task = asyncio.ensure_future(work)
    was_told = False
    while not task.done():
        await asyncio.wait({task}, timeout=None if was_told else _LOOK_S)
        if job.is_cancelled and not was_told and not task.done():
            was_told = True
            task.cancel()
    if task.cancelled() and was_told:
        # Why it was.
        job.check()
    return task.result()


def _program() -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        module: str = spec.name.removesuffix(".__main__")
        return module
    return Path(sys.argv[0]).stem or "python"


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        known: object = getattr(sys.modules.get("__main__"), "__version__", "0.0.0")
        return str(known)
