"""Operations for ../check.py: launched by Webda by their names, with input that Webda checks."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

import jobhook


class Order(enum.Enum):
    LONGEST = "longest"
    SHORTEST = "shortest"


@dataclass
class Chapter:
    title: str
    below: list[Chapter] = field(default_factory=list)


@dataclass
class Input:
    """Of every kind that has a schema of its own: Webda's validator refuses what it does not know."""

    lines: list[str]
    order: Order = Order.LONGEST
    chapters: list[Chapter] = field(default_factory=list)
    at: datetime | None = None
    day: date | None = None
    key: uuid.UUID | None = None
    pair: tuple[int, str] = (1, "a")
    shares: dict[str, float] = field(default_factory=dict)
    mode: Literal["fast", "slow"] = "fast"


@dataclass
class Output:
    lines: int
    chosen: str
    depth: int


def depth_of(chapters: list[Chapter]) -> int:
    return max((1 + depth_of(chapter.below) for chapter in chapters), default=0)


@jobhook.operation("Interop.Choose")
def choose(job: jobhook.Job, input: Input) -> Output:
    pick = max if input.order is Order.LONGEST else min
    for line in job.progress(input.lines):
        job.log(line)
    return Output(len(input.lines), pick(input.lines, key=len), depth_of(input.chapters))


@jobhook.operation("Interop.Fail")
async def fail(input: str) -> None:
    raise LookupError(f"there is no {input}")


if __name__ == "__main__":
    jobhook.run(name="interop", version="1.0")
