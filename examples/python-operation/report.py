#!/usr/bin/env python3
"""One function that is launched by its name, `Report.Generate`.

You see: the progress in rows, a log line for each group, then the results
{"text": ..., "total": ...}. Input that does not fit is refused when it is launched, with
every place that is wrong; a group without rows is an ERROR.

The point: the annotations are all there is. They become the schemas that the server checks
with, and the values that the function gets and gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Literal

import jobhook
from jobhook import Job


@dataclass
class Group:
    name: str
    amounts: list[float]


@dataclass
class Input:
    title: Annotated[str, "The first line of the report."]
    groups: list[Group] = field(default_factory=list)
    until: date | None = None
    format: Literal["text", "markdown"] = "text"


@dataclass
class Output:
    text: str
    total: float


@jobhook.operation("Report.Generate")
def generate(job: Job, input: Input) -> Output:
    mark = "# " if input.format == "markdown" else ""
    lines = [mark + input.title + (f", until {input.until:%d %B %Y}" if input.until else "")]
    total = 0.0
    for group in job.progress(input.groups, desc="adding up"):
        if not group.amounts:
            raise LookupError(f"{group.name} has no amounts")
        total += sum(group.amounts)
        lines.append(f"{group.name}: {sum(group.amounts):.2f}")
        job.log(f"{group.name} has {len(group.amounts)} amounts")
    return Output("\n".join(lines), total)


if __name__ == "__main__":
    jobhook.run(name="python-operation", version="1.0")
