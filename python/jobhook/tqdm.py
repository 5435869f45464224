"""A `tqdm` whose progress is the job's. Needs `pip install jobhook[tqdm]`.

from jobhook.tqdm import tqdm

for path in tqdm(paths, job=job, desc="resizing"):
    ...
with tqdm(job=job, desc="fetching", unit="B", unit_scale=True) as bar:
    job.inputs[0].download(folder, progress=bar.transfer)
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tqdm.std import tqdm as _tqdm

from .errors import JobCancelled
from .job import Job

__all__ = ["tqdm"]


class tqdm(_tqdm):  # type: ignore[type-arg]
    """As `tqdm.tqdm`, and tells `job`. The bar is drawn where stderr is a terminal.

    Raises:
        JobCancelled: The job should end; at each step.
    """

    def __init__(self, *args: Any, job: Job, **options: Any) -> None:
        self._job = job
        if "file" not in options and not (sys.stderr and sys.stderr.isatty()):
            # The bar would fill the log.
            options["file"] = io.StringIO()
        super().__init__(*args, **options)  # pyright: ignore[reportUnknownMemberType]

    def __iter__(self) -> Iterator[Any]:
        items: Iterator[Any] = super().__iter__()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        for item in items:
            self._job.check()
            yield item

    def update(self, n: float | None = 1) -> bool | None:
        """Moves the bar on."""
        self._job.check()
        return super().update(n)

    def transfer(self, moved: int, of: int | None) -> None:
        """Shows how far a file is: `progress=bar.transfer`, of a bar with `unit="B"`."""
        if of is not None:
            self.total = of
        self.update(moved - self.n)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draws the bar, and tells the job what it shows."""
        total = self.total if self.total is not None and self.n <= self.total else None
        # Also called by a thread of tqdm's, and while it holds a lock that it would not give back.
        with suppress(JobCancelled):
            self._job.set_progress(self.n, total)
            if self.desc:
                self._job.message(self.desc.removesuffix(": "))
        if isinstance(self.fp, io.StringIO):
            self.fp.truncate(0)
        super().display(msg, pos)
