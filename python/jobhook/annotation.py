"""From an annotation to its shape, or why it has none."""

# The values here are whatever JSON or an annotation holds: their types are looked at as they come.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import enum
import os
import sys
import types
import typing
import uuid
from collections.abc import Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from .record import Field, ModelShape, RecordShape
from .shape import (
    AnyShape,
    ChoiceShape,
    JsonShape,
    ListShape,
    MapShape,
    Shape,
    TextShape,
    TupleShape,
    UnionShape,
)

__all__ = ["NoShape", "Shapes"]


class NoShape(Exception):
    """An annotation that has no JSON; the text says why, and what to do."""


class Shapes:
    """Makes shapes, each type once, so that a type may refer to itself.

    Args:
        names: What annotations that are text may refer to beside what their modules have.
    """

    def __init__(self, names: Mapping[str, Any] | None = None) -> None:
        self._names = dict(names or {})
        self._made: dict[Any, Shape] = {}

    def of(self, annotation: Any) -> Shape:
        """The shape of an annotation.

        Raises:
            NoShape: It has none.
        """
        annotation, _ = _bare(annotation)
        if annotation in (Any, object):
            return AnyShape()
        if annotation is None:
            annotation = type(None)
        origin, parts = get_origin(annotation), get_args(annotation)
        # `typing.List` alone is `list`. It has no parts at all, and `tuple[()]` has none in it.
        if origin is not None and not hasattr(annotation, "__args__"):
            annotation, origin = origin, None
        if origin is not None:
            return self._of_parts(annotation, origin, parts)
        if not isinstance(annotation, type):
            raise NoShape(f"{_shown(annotation)} is no type that can be told from JSON")
        made = self._made.get(annotation)
        return made if made is not None else self._of_type(annotation)

    def _of_parts(self, annotation: Any, origin: Any, parts: tuple[Any, ...]) -> Shape:
        if origin in (Union, types.UnionType):
            return UnionShape([self.of(it) for it in parts])
        if origin is Literal or _name_of(origin) == "Literal":
            return ChoiceShape([(_scalar(it, annotation), it) for it in parts])
        if origin is tuple:
            if len(parts) == 2 and parts[1] is ...:
                return ListShape(self.of(parts[0]), tuple, tuple)
            return TupleShape([] if parts == ((),) else [self.of(it) for it in parts])
        needed = 1 if origin in _LISTS else 2 if origin in _MAPS else len(parts)
        if len(parts) != needed:
            raise NoShape(f"{annotation} names {len(parts)} types, and takes {needed}")
        if origin in _LISTS:
            return ListShape(self.of(parts[0]), *_LISTS[origin])
        if origin in _MAPS:
            key, _ = _bare(parts[0])
            if key is not str:
                raise NoShape(f"{_shown(annotation)} has keys that are not str, as JSON needs them")
            return MapShape(self.of(parts[1]))
        raise NoShape(f"{_shown(annotation)} is generic; name a type that is not")

    def _of_type(self, kind: Any) -> Shape:
        if kind in _PLAIN:
            plain: Shape = _PLAIN[kind]()
            return plain
        if kind in _LISTS:
            return ListShape(AnyShape(), *_LISTS[kind])
        if kind in _MAPS:
            return MapShape(AnyShape())
        if all(hasattr(kind, it) for it in ("model_json_schema", "model_validate", "model_dump")):
            return self._keep(kind, ModelShape(kind))
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind)
        if issubclass(kind, dict) and hasattr(kind, "__total__"):
            return self._typed_dict(kind)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return self._named_tuple(kind)
        if issubclass(kind, enum.Enum):
            choices = [(_scalar(it.value, kind), it) for it in kind]
            return self._keep(kind, ChoiceShape(choices, kind))
        hint = _HINTS.get(kind, "a dataclass, TypedDict, enumeration or a type of JSON can")
        raise NoShape(f"{_shown(kind)} cannot be told from JSON; {hint}")

    def _keep(self, kind: Any, shape: Shape) -> Shape:
        self._made[kind] = shape
        return shape

    def _dataclass(self, kind: Any) -> Shape:
        # Not what extends it: the fields that it does not have would be lost.
        shape = RecordShape(kind, kind, lambda value: type(value) is kind, True)
        self._keep(kind, shape)
        hints = self.hints(kind)
        for name, hint in hints.items():
            if isinstance(hint, dataclasses.InitVar):
                raise NoShape(f"{_shown(kind)}.{name} is an InitVar, which is not kept in it")
        for field in dataclasses.fields(kind):
            has_default = field.default is not dataclasses.MISSING
            has_factory = field.default_factory is not dataclasses.MISSING
            extra = {"default": field.default} if has_default else {}
            shape.fields.append(
                self._field(
                    kind,
                    field.name,
                    hints[field.name],
                    is_required=not (has_default or has_factory),
                    is_read=field.init,
                    **extra,
                )
            )
        return shape

    def _typed_dict(self, kind: Any) -> Shape:
        shape = RecordShape(kind, dict, lambda value: isinstance(value, dict), False)
        self._keep(kind, shape)
        for name, hint in self.hints(kind).items():
            # What the class knows is wrong where annotations are text.
            is_required = name in kind.__required_keys__
            said = {_name_of(get_origin(it)) for it in _layers(hint)}
            if "NotRequired" in said:
                is_required = False
            elif "Required" in said:
                is_required = True
            shape.fields.append(self._field(kind, name, hint, is_required=is_required))
        return shape

    def _named_tuple(self, kind: Any) -> Shape:
        shape = RecordShape(kind, kind, lambda value: type(value) is kind, True)
        self._keep(kind, shape)
        hints = self.hints(kind)
        for name in kind._fields:
            defaults = kind._field_defaults
            extra = {"default": defaults[name]} if name in defaults else {}
            hint = hints.get(name, Any)
            field = self._field(kind, name, hint, is_required=name not in defaults, **extra)
            shape.fields.append(field)
        return shape

    def _field(self, kind: Any, name: str, hint: Any, **more: Any) -> Field:
        bare, description = _bare(hint)
        try:
            return Field(name, self.of(bare), description=description, **more)
        except NoShape as error:
            raise NoShape(f"{_shown(kind)}.{name}: {error}") from None

    def hints(self, annotated: Any) -> dict[str, Any]:
        """The annotations of a class or function, those that are text looked up.

        Raises:
            NoShape: A name is not there.
        """
        try:
            return _get_type_hints(annotated, self._names)
        except NameError as error:
            raise NoShape(
                f"an annotation of {_shown(annotated)} cannot be looked up: {error}; define it above"
            ) from None
        except (TypeError, SyntaxError) as error:
            raise NoShape(
                f"an annotation of {_shown(annotated)} cannot be understood: {error}"
            ) from None


def _get_type_hints(annotated: Any, names: dict[str, Any]) -> dict[str, Any]:
    # On 3.10 only that one knows `NotRequired`, and who uses it has it.
    if sys.version_info < (3, 11) and "typing_extensions" in sys.modules:
        get = sys.modules["typing_extensions"].get_type_hints
    else:
        get = typing.get_type_hints
    hints: dict[str, Any] = get(annotated, None, names or None, include_extras=True)
    return hints


def _bare(annotation: Any) -> tuple[Any, str | None]:
    """What is inside of `Annotated`, `NewType`, `type X = …` and the like; and its description."""
    description: str | None = None
    for layer in _layers(annotation):
        annotation = layer
        texts = [it for it in getattr(layer, "__metadata__", ()) if isinstance(it, str)]
        description = description or (texts[0] if texts else None)
    return annotation, description


def _layers(annotation: Any) -> Iterable[Any]:
    while True:
        yield annotation
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif _name_of(get_origin(annotation)) in ("Required", "NotRequired", "ReadOnly", "Final"):
            annotation = get_args(annotation)[0]
        else:
            return


def _scalar(value: Any, where: Any) -> Any:
    if type(value) in (str, int, bool, type(None)):
        return value
    if isinstance(value, (str, int)) and not isinstance(value, enum.Enum):
        return value
    raise NoShape(f"{_shown(where)} has {value!r}, which is no text, whole number or bool")


def _name_of(form: Any) -> str | None:
    name = getattr(form, "_name", None)
    return name if isinstance(name, str) else None


def _shown(annotation: Any) -> str:
    name = getattr(annotation, "__qualname__", None)
    return name if isinstance(name, str) and not get_args(annotation) else str(annotation)


def _datetime_of(text: str) -> datetime:
    # Python 3.10 does not know Z.
    parsed = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    if parsed.tzinfo is None or text[10:11] not in ("T", "t", " "):
        raise ValueError
    return parsed


def _text_of_datetime(value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError("it has no time zone; make it with datetime.now(timezone.utc) or the like")
    return value.isoformat()


def _date_of(text: str) -> date:
    if len(text) != 10:
        raise ValueError
    return date.fromisoformat(text)


def _text_of_date(value: date) -> str:
    # A datetime is a date, too.
    return date(value.year, value.month, value.day).isoformat()


def _uuid_of(text: str) -> uuid.UUID:
    if len(text) != 36:
        raise ValueError
    return uuid.UUID(text)


_PLAIN: dict[Any, Any] = {
    **{kind: lambda kind=kind: JsonShape(kind) for kind in (type(None), bool, int, float, str)},
    tuple: lambda: ListShape(AnyShape(), tuple, tuple),
    datetime: lambda: TextShape(
        datetime,
        "date-time",
        _datetime_of,
        _text_of_datetime,
        "a time with its offset, such as 2026-11-24T16:00:00Z",
    ),
    date: lambda: TextShape(date, "date", _date_of, _text_of_date, "a date, such as 2026-11-24"),
    uuid.UUID: lambda: TextShape(uuid.UUID, "uuid", _uuid_of, str, "a UUID"),
    **{
        kind: lambda kind=kind: TextShape(kind, None, Path, os.fspath, "a path")
        for kind in (Path, os.PathLike)
    },
}
_LISTS: dict[Any, tuple[type, Any]] = {
    list: (list, list),
    set: (set, set),
    frozenset: (frozenset, frozenset),
    Sequence: (Sequence, list),
    MutableSequence: (MutableSequence, list),
    Collection: (Collection, list),
    Iterable: (Collection, list),
    AbstractSet: (AbstractSet, frozenset),
}
_MAPS = (dict, Mapping, MutableMapping)
_HINTS: dict[Any, str] = {
    bytes: "take text, such as base64, and decode it",
    time: "take text",
}
