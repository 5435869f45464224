"""Functions that are launched by name, with input and results that are checked.

    @operation("Report.Generate")
    def generate(job: Job, input: Input) -> Output: ...

The decorator looks at the function at once, so that what is unclear is refused where it is
written; it gives the function back as it is. `program.py` runs operations as jobs, and
`jobhook.testing` runs them inline.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from .annotation import NoShape, Shapes
from .async_job import AsyncJob
from .errors import InvalidInput, InvalidOutput, InvalidSetting, UnknownOperation
from .job import Job
from .shape import AnyShape, Faults, Schema, Schemas, Shape

__all__ = ["Operation", "definitions", "find", "known", "operation"]

_F = TypeVar("_F", bound=Callable[..., Any])
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
# The attribute of a function that tells its operation.
_MARK = "__jobhook_operation__"
_known: dict[str, Operation] = {}


class Operation:
    """A function that is launched by name.

    Attributes:
        id: Its name, such as `Report.Generate`.
        function: As it was written.
        permission: Who may launch it, an expression that the server understands.
        is_async: Whether it is `async def`, also under decorators that are not.
    """

    def __init__(
        self, id: str, function: Callable[..., Any], permission: str | None, names: dict[str, Any]
    ) -> None:
        self.id = id
        self.function = function
        self.permission = permission
        self.is_async = any(
            inspect.iscoroutinefunction(it) for it in (function, inspect.unwrap(function))
        )
        shapes = Shapes(names)
        try:
            hints = shapes.hints(function)
            self._job, input_hint = self._parameters(hints)
            self._input = None if input_hint is _NONE else shapes.of(input_hint)
            self.input_type = None if input_hint is _NONE else input_hint
            returned = hints.get("return", Any)
            self._output = shapes.of(returned)
            self._returns_nothing = returned in (None, type(None))
        except NoShape as error:
            raise _unclear(id, str(error)) from None

    def _parameters(self, hints: dict[str, Any]) -> tuple[Literal["sync", "async"] | None, Any]:
        """What kind of job the function takes, and the annotation of its input."""
        parameters = list(inspect.signature(self.function).parameters.values())
        for it in parameters:
            if it.kind not in (it.POSITIONAL_ONLY, it.POSITIONAL_OR_KEYWORD):
                raise NoShape(f"it takes `{it}`; {_RIGHT}")
            if it.default is not it.empty:
                raise NoShape(f"`{it.name}` has a default; annotate it with `… | None` instead")
        job: Literal["sync", "async"] | None = None
        if parameters:
            first = parameters[0]
            hint = hints.get(first.name, _NONE)
            if hint is Job:
                job = "sync"
            elif hint is AsyncJob:
                if not self.is_async:
                    raise NoShape("only an `async` function takes an AsyncJob; take a Job")
                job = "async"
            elif first.name == "job":
                if hint is not _NONE:
                    raise NoShape(f"its `job` is annotated with {hint}, and not with Job; {_RIGHT}")
                job = "async" if self.is_async else "sync"
        rest = parameters[1:] if job else parameters
        if len(rest) > 1:
            names = ", ".join(f"`{it.name}`" for it in rest)
            raise NoShape(f"it takes {names}; {_RIGHT}")
        if not rest:
            return job, _NONE
        hint = hints.get(rest[0].name, _NONE)
        if hint is _NONE:
            raise NoShape(
                f"its `{rest[0].name}` has no annotation (Any takes what comes); {_RIGHT}"
            )
        if hint in (Job, AsyncJob):
            raise NoShape(f"its job comes second; {_RIGHT}")
        return job, hint

    def read(self, value: Any) -> Any:
        """The input that the function takes, from JSON.

        Raises:
            InvalidInput: It does not fit; the text names every place.
        """
        if self._input is None:
            return None
        faults = Faults()
        read = None
        try:
            read = self._input.read(value, "", faults)
        except RecursionError:
            faults.add("", "it nests arrays and objects too deeply")
        if faults:
            raise InvalidInput(f"the input does not fit {self.id}: {faults}", "invalid_input")
        return read

    def write(self, value: Any) -> Any:
        """The JSON of what the function returned.

        Raises:
            InvalidOutput: It does not fit; the text names every place.
        """
        faults = Faults()
        written = None
        try:
            written = self._output.write(value, "", faults)
        except RecursionError:
            faults.add("", "it nests arrays and objects too deeply, or contains itself")
        if faults:
            text = f"what {self.id} returned does not fit: {faults}"
            raise InvalidOutput(text, "invalid_output")
        return written

    def write_input(self, value: Any) -> tuple[Any, Faults]:
        """The JSON of an input that is given as the function takes it; else it, and why not."""
        faults = Faults()
        if self._input is None:
            return value, faults
        written = self._input.write(value, "", faults)
        return (value if faults else written), faults

    def call(self, job: Job, input: Any) -> Any:
        """Calls the function, with what `read` made. What it returns may have to be awaited."""
        arguments: list[Any] = []
        if self._job is not None:
            arguments.append(AsyncJob(job) if self._job == "async" else job)
        if self._input is not None:
            arguments.append(input)
        return self.function(*arguments)

    @property
    def input_schema(self) -> Schema | None:
        """The JSON Schema of its input; `None` if anything goes."""
        return _schema(self._input, writes=False)

    @property
    def output_schema(self) -> Schema | None:
        """The JSON Schema of its results; `None` if anything may come."""
        return None if self._returns_nothing else _schema(self._output, writes=True)

    def __repr__(self) -> str:
        return f"<jobhook operation {self.id}>"


_NONE: Any = object()
_RIGHT = "right are (job: Job, input: Input), (input: Input), (job: Job) and ()"


def operation(id: str, *, permission: str | None = None) -> Callable[[_F], _F]:
    """Makes a function, sync or `async`, one that is launched by name; see `jobhook.run`.

    The function takes `(job: Job, input: Input)`, `(input: Input)`, `(job: Job)` or nothing. The
    job is annotated with `Job` or, of an `async` function, `AsyncJob`, or is called `job` and
    not annotated. The input and what is returned may be dataclasses, TypedDicts, NamedTuples,
    pydantic models, JSON's own types, lists, tuples, sets, dicts, unions, `Literal`, enumerations,
    dates, times with an offset, UUIDs and paths. What is not annotated to be returned may be any JSON.

    The decorator gives the function back as it is, so it can be called as before.

    Args:
        id: Its name, such as `Report.Generate`: 1 to 128 of `A-Z a-z 0-9 _ . -`, a letter first.
        permission: Who may launch it: an expression over the claims of who asks.

    Raises:
        InvalidSetting: The id is taken or none, or the function or an annotation is unclear; the
            text says what is right.
    """
    # Programs without a type checker call it, too.
    given_id: Any = id
    given_permission: Any = permission
    if not isinstance(given_id, str) or not _ID.fullmatch(id):
        shown = (
            f"operation({id!r})" if isinstance(given_id, str) else 'write @operation("Its.Name")'
        )
        raise InvalidSetting(
            f"{shown}: an id has 1 to 128 of A-Z a-z 0-9 _ . -, and the first is a letter",
            "invalid_setting",
        )
    is_text = isinstance(given_permission, str) and given_permission.strip()
    if permission is not None and not is_text:
        raise _unclear(id, "its permission is empty; leave it out, and everybody may launch it")

    def decorate(function: _F) -> _F:
        given: Any = function
        if not inspect.isfunction(given):
            raise _unclear(id, f"it is a {type(given).__name__}, and must be a function")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise _unclear(id, "it is a generator; return what it makes")
        caller = sys._getframe(1)
        # Types that are local to a function are known only there.
        names = {} if caller.f_locals is caller.f_globals else dict(caller.f_locals)
        made = Operation(id, function, permission, names)
        for other in _known.values():
            if other.id.lower() != id.lower() or _is_same(other.function, function):
                continue
            if other.id == id:
                raise _unclear(id, f"there are two of that name: {_place(other.function)} has it")
            raise _unclear(id, f"it differs from {other.id} only in capital letters")
        _known[id] = made
        setattr(function, _MARK, made)
        return function

    return decorate


def known() -> dict[str, Operation]:
    """The operations of this program by their ids, sorted."""
    return dict(sorted(_known.items()))


def find(which: str | Callable[..., Any]) -> Operation:
    """The operation of that id, or that the function is.

    Raises:
        UnknownOperation: There is none.
    """
    if not isinstance(which, str):
        made = getattr(which, _MARK, None)
        if isinstance(made, Operation):
            return made
        raise UnknownOperation(f"{which!r} is no operation", "unknown_operation")
    if which in _known:
        return _known[which]
    have = ", ".join(f"`{id}`" for id in known()) or "none"
    text = f"this program has no operation `{which}`; it has {have}"
    raise UnknownOperation(text, "unknown_operation")


def definitions(name: str, version: str) -> dict[str, Any]:
    """What a server has to know of the operations of this program.

    Args:
        name: Of the application.
        version: Of the application.
    """
    operations: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for id, it in known().items():
        defined = operations[id] = {"id": id}
        for way, schema in (("input", it.input_schema), ("output", it.output_schema)):
            if schema is not None:
                defined[way] = f"{id}.{way}".lower()
                schemas[defined[way]] = schema
        if it.permission is not None:
            defined["permission"] = it.permission
    application = {"name": name, "version": version}
    return {"application": application, "operations": operations, "schemas": schemas}


def _schema(shape: Shape | None, *, writes: bool) -> Schema | None:
    if shape is None or isinstance(shape, AnyShape):
        return None
    return Schemas(writes).whole(shape)


def _is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether a module was only run again, such as once as `__main__`."""
    return _place(one) == _place(other)


def _place(function: Any) -> str:
    code = function.__code__
    return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


def _unclear(id: str, why: str) -> InvalidSetting:
    return InvalidSetting(f"operation {id}: {why}", "invalid_setting")
