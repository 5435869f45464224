"""Shapes with named fields: dataclasses, typed dictionaries, named tuples, and pydantic models.

Fields that are not expected are refused, and so is a missing one; each is named.
"""

# The values here are whatever JSON or an annotation holds: their types are looked at as they come.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .shape import Faults, Schema, Schemas, Shape, inside, kind_of

__all__ = ["Field", "ModelShape", "RecordShape"]

_UNSET: Any = object()


class Field:
    """A field of a record.

    Args:
        name: Of the attribute and in JSON.
        shape: What its value is.
        is_required: Whether it must be there.
        is_read: Whether it may be in what is read.
        description: For people.
        default: What it is if it is not there; for the schema.
    """

    def __init__(
        self,
        name: str,
        shape: Shape,
        *,
        is_required: bool,
        is_read: bool = True,
        description: str | None = None,
        default: Any = _UNSET,
    ) -> None:
        self.name = name
        self.shape = shape
        self.is_required = is_required
        self.is_read = is_read
        self.description = description
        self.default = default

    def schema(self, schemas: Schemas) -> Schema:
        schema = self.shape.schema(schemas)
        if self.description is not None:
            schema = {**schema, "description": self.description}
        if self.default is not _UNSET and not schemas.writes:
            faults = Faults()
            default = self.shape.write(self.default, "", faults)
            if not faults:
                schema = {**schema, "default": default}
        return schema


class RecordShape(Shape):
    """A dataclass, typed dictionary or named tuple.

    Args:
        kind: The type.
        make: Makes one of its fields.
        get: The value of a field, or `_UNSET`.
        always_written: Whether every field is there when it is written.
    """

    def __init__(
        self,
        kind: type,
        make: Callable[..., Any],
        holds: Callable[[Any], bool],
        always_written: bool,
    ) -> None:
        # Filled in later, for types that refer to themselves.
        self.fields: list[Field] = []
        self._kind = kind
        self._make = make
        self._holds = holds
        self._always_written = always_written

    def schema(self, schemas: Schemas) -> Schema:
        return schemas.refer(self._kind, self._kind.__name__, lambda: self._schema(schemas))

    def _schema(self, schemas: Schemas) -> Schema:
        fields = [it for it in self.fields if it.is_read or schemas.writes]
        schema: Schema = {
            "type": "object",
            "properties": {it.name: it.schema(schemas) for it in fields},
            "additionalProperties": False,
        }
        always = schemas.writes and self._always_written
        required = [it.name for it in fields if it.is_required or always]
        if required:
            schema["required"] = required
        return schema

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, dict):
            return faults.add(place, f"it must be an object, and is {kind_of(value)}")
        if not faults.enter(place):
            return None
        known = len(faults.found)
        fields = {it.name: it for it in self.fields if it.is_read}
        read: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                read[name] = field.shape.read(value[name], inside(place, name), faults)
            elif field.is_required:
                faults.add(inside(place, name), "it is missing")
        _refuse_others(value, fields, place, faults)
        faults.leave()
        if len(faults.found) > known:
            return None
        try:
            return self._make(**read)
        except (TypeError, ValueError) as error:
            # What the type itself checks, such as in `__post_init__`.
            return faults.add(place, str(error) or type(error).__name__)

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        if not self._holds(value):
            wanted = self._kind.__name__
            return faults.add(place, f"it must be a {wanted}, and is {kind_of(value)}")
        if not faults.enter(place):
            return None
        is_dict = isinstance(value, dict)
        written: dict[str, Any] = {}
        for field in self.fields:
            own = value.get(field.name, _UNSET) if is_dict else getattr(value, field.name, _UNSET)
            at = inside(place, field.name)
            if own is not _UNSET:
                written[field.name] = field.shape.write(own, at, faults)
            elif field.is_required or not is_dict:
                faults.add(at, "it is missing")
        if is_dict:
            _refuse_others(value, (it.name for it in self.fields), place, faults)
        faults.leave()
        return written


def _refuse_others(value: dict[Any, Any], known: Iterable[str], place: str, faults: Faults) -> None:
    known = list(known)
    for name in value:
        if name not in known:
            there = ", ".join(known) if known else "no fields"
            faults.add(inside(place, str(name)), f"it is not expected; there are {there}")


class ModelShape(Shape):
    """A pydantic model, or what has the same three methods."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def schema(self, schemas: Schemas) -> Schema:
        name = self._kind.__name__
        mode = "serialization" if schemas.writes else "validation"

        def make() -> Schema:
            try:
                schema: Schema = dict(
                    self._kind.model_json_schema(
                        mode=mode, ref_template=f"#/$defs/{name}.{{model}}"
                    )
                )
            except TypeError:
                return dict(self._kind.model_json_schema())
            # Names that are its own lie beside ours, under its name.
            for inner, part in schema.pop("$defs", {}).items():
                schemas.named[f"{name}.{inner}"] = part
            schema.pop("$schema", None)
            return schema

        return schemas.refer(self._kind, name, make)

    def read(self, value: Any, place: str, faults: Faults) -> Any:
        try:
            return self._kind.model_validate(value)
        except ValueError as error:
            errors: Any = getattr(error, "errors", None)
            known: Any = errors() if callable(errors) else ()
            for found in known:
                at = place
                for part in found["loc"]:
                    at = inside(at, str(part))
                faults.add(at, str(found["msg"]))
            if not faults:
                faults.add(place, str(error))
            return None

    def write(self, value: Any, place: str, faults: Faults) -> Any:
        if not isinstance(value, self._kind):
            wanted = self._kind.__name__
            return faults.add(place, f"it must be a {wanted}, and is {kind_of(value)}")
        try:
            return value.model_dump(mode="json")
        except Exception as error:
            return faults.add(place, str(error) or type(error).__name__)
