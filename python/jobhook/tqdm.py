"""A `tqdm` whose progress is the job's. Needs `pip install jobhook[tqdm]`.

from jobhook.tqdm import tqdm

for path in tqdm(paths, job=job, desc="resizing"):
    ...
"""

from __future__ import annotations

import io
import sys
from typing import Any

from tqdm.std import tqdm as _tqdm

from .job import Job

__all__ = ["tqdm"]


class tqdm(_tqdm):  # type: ignore[type-arg]
    """As `tqdm.tqdm`, and tells `job`. The bar is drawn where stderr is a terminal.

    Raises:
        JobCancelled: The job should end; when the bar would be drawn, some ten times a second.
    """

    def __init__(self, *args: Any, job: Job, **options: Any) -> None:
        self._job = job
        if "file" not in options and not (sys.stderr and sys.stderr.isatty()):
            # The bar would fill the log.
            options["file"] = io.StringIO()
        super().__init__(*args, **options)  # pyright: ignore[reportUnknownMemberType]

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draws the bar, and tells the job what it shows."""
        self._job.check()
        total = self.total if self.total is not None and self.n <= self.total else None
        self._job.set_progress(self.n, total)
        if self.desc:
            self._job.message(self.desc.removesuffix(": "))
        if isinstance(self.fp, io.StringIO):
            self.fp.truncate(0)
        super().display(msg, pos)
