"""What a value of an annotated type is as JSON: its schema, how it is read, how it is written.

A shape is made once from an annotation (`annotation.py`), so that an annotation which cannot be
JSON is refused where the function is, and not when it runs. Reading and writing collect every
fault with its place, as a JSON Pointer. Nothing is coerced that JSON tells apart: the text "3" is
no number, and 1 is not true.

The schemas are JSON Schema 2020-12 in words that the validator of the original takes too: neither
`$schema` nor `prefixItems`, and only formats that it knows.
"""

# The values here are whatever JSON or an annotation holds: their types are looked at as they come.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = [
    "AnyShape",
    "ChoiceShape",
    "Faults",
    "JsonShape",
    "ListShape",
    "MapShape",
    "Schema",
    "Schemas",
    "Shape",
    "TextShape",
    "TupleShape",
    "UnionShape",
    "kind_of",
]

Schema: TypeAlias = dict[str, Any]
# As deep as a server takes a body.
_MAX_DEPTH = 127
# So many faults tell enough.
_TOLD = 20
# What takes the place of a value that could not be read; nobody gets to see it.
_NOTHING: Any = None


class Faults:
    """What is wrong with a value, each fault with its place."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._depth = 0

    def add(self, place: str, reason: str) -> Any:
        self.found.append((place, reason))
        return _NOTHING

    def enter(self, place: str) -> bool:
        """Goes one level deeper, unless that is too deep; `leave` comes back."""
        if self._depth >= _MAX_DEPTH:
            self.add("", f"it nests arrays and objects deeper than {_MAX_DEPTH} levels")
            return False
        self._depth += 1
        return True

    def leave(self) -> None:
        self._depth -= 1

    def apart(self) -> Faults:
        """Others, at the same depth."""
        others = Faults()
        others._depth = self._depth
        return others

    def __bool__(self) -> bool:
        return bool(self.found)

    def __str__(self) -> str:
        told = [f"{place or '/'}: {reason}" for place, reason in self.found[:_TOLD]]
        if len(self.found) > _TOLD:
            told.append(f"and {len(self.found) - _TOLD} more")
        return "; ".join(told)


class Schemas:
    """The schemas of the named types that one schema refers to.

    Args:
        writes: Whether they say what is written, and not what may be read.
    """

    def __init__(self, writes: bool) -> None:
        self.writes = writes
        self.named: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def refer(self, key: Any, name: str, make: Callable[[], Schema]) -> Schema:
        """A reference to the schema of `key`, made now if it is not there."""
        if key not in self._names:
            self._names[key] = free = self._free(name)
            self.named[free] = {}
            self.named[free] = make()
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _free(self, name: str) -> str:
        free, number = name, 1
        while free in self.named:
            number += 1
            free = f"{name}{number}"
        return free

    def whole(self, shape: Shape) -> Schema:
        """The schema of `shape`, with all that it refers to."""
        schema = shape.schema(self)
        # What only the root is, stands at the root.
        if schema.keys() == {"$ref"}:
            name = schema["$ref"].removeprefix("#/$defs/")
            if not any(_refers(it, schema["$ref"]) for it in self.named.values()):
                schema = {"title": name, **self.named.pop(name)}
        if self.named:
            schema = {**schema, "$defs": self.named}
        return schema


def _refers(part: Any, reference: str) -> bool:
    if isinstance(part, dict):
        return part.get("$ref") == reference or any(_refers(it, reference) for it in part.values())
    return isinstance(part, list) and any(_refers(it, reference) for it in part)


class Shape:
    """What a value is as JSON. This one lets every JSON through as it is."""

    # The type of its values, if they have one.
    _kind: Any = None

    def is_of(self, kind: type) -> bool:
        """Whether it is made for values of that very type, and not for one that it extends."""
        return kind is self._kind

    def schema(self, schemas: Schemas) -> Schema:
        """Its JSON Schema."""
        return {}

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        """The Python value of JSON. What is returned with a fault is of no use."""
        return value

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        """The JSON of a Python value."""
        return value


class AnyShape(Shape):
    """Any JSON."""


class JsonShape(Shape):
    """`None`, `bool`, `int`, `float`, `str`."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def schema(self, schemas: Schemas) -> Schema:
        return {"type": _JSON_NAMES[self._kind]}

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        kind = type(value)
        if kind is self._kind:
            return value
        if self._kind is float and kind is int:
            try:
                return float(value)
            except OverflowError:
                return faults.add(place, "the number is too large for a float")
        # JSON has one kind of number: 3.0 is whole.
        if self._kind is int and kind is float and value.is_integer():
            return int(value)
        return faults.add(place, f"it must be {_NAMES[self._kind]}, and is {kind_of(value)}")

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        if self._kind is float and type(value) is int:
            return value
        # Subclasses, such as `numpy.float64` and enumerations with text, are what they extend.
        if not isinstance(value, self._kind) or (self._kind is int and isinstance(value, bool)):
            return faults.add(place, f"it must be {_NAMES[self._kind]}, and is {kind_of(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            return faults.add(place, f"it is {value}, which JSON does not have")
        return value


class TextShape(Shape):
    """What is written as text, such as a date or a UUID.

    Args:
        kind: The type.
        form: The `format` of its schema, if it has one.
        parse: Makes one of a text, or raises `ValueError`.
        text: Makes the text of one, or raises `ValueError`.
        name: What the text must be, for messages.
    """

    def __init__(
        self,
        kind: type,
        form: str | None,
        parse: Callable[[str], Any],
        text: Callable[[Any], str],
        name: str,
    ) -> None:
        self._kind = kind
        self._form = form
        self._parse = parse
        self._text = text
        self._name = name

    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "string"} | ({"format": self._form} if self._form else {})

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, str):
            return faults.add(place, f"it must be {self._name}, and is {kind_of(value)}")
        try:
            return self._parse(value)
        except ValueError:
            return faults.add(place, f"it must be {self._name}")

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, self._kind):
            needed = self._kind.__name__
            return faults.add(place, f"it must be a {needed}, and is {kind_of(value)}")
        try:
            return self._text(value)
        except ValueError as error:
            return faults.add(place, str(error))


class ChoiceShape(Shape):
    """One of some JSON values: a `Literal`, or an enumeration.

    Args:
        choices: The JSON of each, and what it is in Python.
        kind: The enumeration, if it is one.
    """

    def __init__(self, choices: list[tuple[Any, Any]], kind: type | None = None) -> None:
        self._choices = choices
        self._kind = kind

    def schema(self, schemas: Schemas) -> Schema:
        plain: Schema = {"enum": [json for json, _ in self._choices]}
        if self._kind is None:
            return plain
        return schemas.refer(self, self._kind.__name__, lambda: plain)

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        for json, meant in self._choices:
            if _is_same(json, value):
                return meant
        return self._refuse(place, faults)

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        for json, meant in self._choices:
            if meant is value or (type(meant) is type(value) and meant == value):
                return json
        return self._refuse(place, faults)

    def _refuse(self, place: str, faults: Faults) -> Any:
        from json import dumps

        known = ", ".join(dumps(json, ensure_ascii=False) for json, _ in self._choices)
        return faults.add(place, f"it must be one of {known}")


class ListShape(Shape):
    """Any number of one kind: `list`, `tuple[T, ...]`, `set`, `frozenset`, `Sequence`.

    Args:
        item: What each is.
        kind: What the Python value is.
        made: What reading makes.
    """

    def __init__(self, item: Shape, kind: Any, made: Callable[[list[Any]], Any]) -> None:
        self._item = item
        self._kind = kind
        self._made = made
        self._is_set = kind in (set, frozenset)

    def schema(self, schemas: Schemas) -> Schema:
        schema: Schema = {"type": "array"}
        items = self._item.schema(schemas)
        if items:
            schema["items"] = items
        if self._is_set:
            schema["uniqueItems"] = True
        return schema

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, list):
            return faults.add(place, f"it must be an array, and is {kind_of(value)}")
        if not faults.enter(place):
            return _NOTHING
        known = len(faults.found)
        items = [self._item.read(it, f"{place}/{at}", faults) for at, it in enumerate(value)]
        faults.leave()
        if len(faults.found) > known:
            return _NOTHING
        try:
            made = self._made(items)
        except TypeError as error:
            return faults.add(place, f"its items cannot be in a set: {error}")
        if self._is_set and len(made) < len(items):
            return faults.add(place, "its items must differ from each other")
        return made

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        # Those are collections, too: of characters, and of names without their values.
        if not isinstance(value, self._kind) or isinstance(value, (str, bytes, Mapping)):
            return faults.add(place, f"it must be a {self._kind.__name__}, and is {kind_of(value)}")
        if not faults.enter(place):
            return _NOTHING
        items = [self._item.write(it, f"{place}/{at}", faults) for at, it in enumerate(value)]
        faults.leave()
        return items


class TupleShape(Shape):
    """As many as are named, each of its own kind: `tuple[int, str]`."""

    _kind = tuple

    def __init__(self, items: list[Shape]) -> None:
        self._items = items

    def schema(self, schemas: Schemas) -> Schema:
        each: list[Schema] = []
        for item in self._items:
            schema = item.schema(schemas)
            if schema not in each:
                each.append(schema)
        size = len(self._items)
        whole: Schema = {"type": "array", "minItems": size, "maxItems": size}
        # `prefixItems` would say more, and is refused by the validator of the original.
        if each and {} not in each:
            whole["items"] = each[0] if len(each) == 1 else {"anyOf": each}
        return whole

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, list):
            return faults.add(place, f"it must be an array, and is {kind_of(value)}")
        read = self._each(value, place, faults, lambda shape: shape.read)
        return _NOTHING if read is _NOTHING else tuple(read)

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, tuple):
            return faults.add(place, f"it must be a tuple, and is {kind_of(value)}")
        return self._each(value, place, faults, lambda shape: shape.write)

    def _each(
        self,
        value: list[Any] | tuple[Any, ...],
        place: str,
        faults: Faults,
        way: Callable[[Shape], Callable[[Any, str, Faults], Any]],
    ) -> Any:
        if len(value) != len(self._items):
            return faults.add(place, f"it must have {len(self._items)} items, and has {len(value)}")
        if not faults.enter(place):
            return _NOTHING
        each = [
            way(shape)(value[at], f"{place}/{at}", faults) for at, shape in enumerate(self._items)
        ]
        faults.leave()
        return each


class MapShape(Shape):
    """Any names, each with one kind of value: `dict[str, T]`, `Mapping[str, T]`."""

    def __init__(self, value: Shape) -> None:
        self._value = value

    def schema(self, schemas: Schemas) -> Schema:
        values = self._value.schema(schemas)
        return {"type": "object"} | ({"additionalProperties": values} if values else {})

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, dict):
            return faults.add(place, f"it must be an object, and is {kind_of(value)}")
        if not faults.enter(place):
            return _NOTHING
        read = {
            name: self._value.read(it, inside(place, name), faults) for name, it in value.items()
        }
        faults.leave()
        return read

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, Mapping):
            return faults.add(place, f"it must be a dict, and is {kind_of(value)}")
        if not faults.enter(place):
            return _NOTHING
        written: dict[str, Any] = {}
        for name, it in value.items():
            if isinstance(name, str):
                written[name] = self._value.write(it, inside(place, name), faults)
            else:
                faults.add(place, f"it has a key that is {kind_of(name)}; keys are text in JSON")
        faults.leave()
        return written


class UnionShape(Shape):
    """One of several: `T | None`, `Union`. The first that fits, in the order of the annotation."""

    def __init__(self, members: list[Shape]) -> None:
        self._members = members

    def is_of(self, kind: type) -> bool:
        return any(it.is_of(kind) for it in self._members)

    def schema(self, schemas: Schemas) -> Schema:
        return {"anyOf": [member.schema(schemas) for member in self._members]}

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        return self._first(self._members, value, place, faults, lambda shape: shape.read)

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        kind = type(value)
        # A member that the value only extends would leave out what is added to it.
        members = sorted(self._members, key=lambda it: not it.is_of(kind))
        return self._first(members, value, place, faults, lambda shape: shape.write)

    def _first(
        self,
        members: list[Shape],
        value: Any,
        place: str,
        faults: Faults,
        way: Callable[[Shape], Callable[[Any, str, Faults], Any]],
    ) -> Any:
        tried: list[Faults] = []
        for member in members:
            own = faults.apart()
            done = way(member)(value, place, own)
            if not own:
                return done
            tried.append(own)
        # Who came further inside was meant. Of equals, each says what it must be.
        deeper = [own for own in tried if any(it != place for it, _ in own.found)]
        if len(deeper) == 1:
            faults.found += deeper[0].found
            return _NOTHING
        reasons = dict.fromkeys(f"{own}" if own in deeper else own.found[0][1] for own in tried)
        return faults.add(place, ", or ".join(reasons))


def inside(place: str, name: str) -> str:
    """The place of a member: a JSON Pointer."""
    shown = name if len(name) <= 100 else name[:100] + "…"
    return f"{place}/{shown.replace('~', '~0').replace('/', '~1')}"


def _is_same(one: Any, other: Any) -> bool:
    """Whether both are one value in JSON, where 1.0 is 1 and `true` is not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def kind_of(value: Any) -> str:
    """What a value is, for messages; never its content, which may be secret."""
    return _NAMES.get(type(value)) or f"a {type(value).__name__}"


_JSON_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}
_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "an array",
    dict: "an object",
}
