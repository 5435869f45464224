"""A `rich` progress display whose progress is the job's. Needs `pip install jobhook[rich]`.

from jobhook.rich import JobProgress

with JobProgress(job) as progress:
    for path in progress.track(paths, description="resizing"):
        ...
    job.inputs[0].download(folder, progress=progress.transfer("fetching"))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from rich.progress import Progress, ProgressColumn, TaskID

from .errors import JobCancelled
from .job import Job

__all__ = ["JobProgress"]


class JobProgress(Progress):
    """As `rich.progress.Progress`, and tells the job the sum of all tasks.

    Raises:
        JobCancelled: The job should end; at each step.
    """

    def __init__(self, job: Job, *columns: str | ProgressColumn, **options: Any) -> None:
        self._job = job
        self._owner = threading.get_ident()
        super().__init__(*columns, **options)

    def track(self, *args: Any, **options: Any) -> Iterator[Any]:
        """As `rich.progress.Progress.track`."""
        for item in super().track(*args, **options):
            self._job.check()
            yield item

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Moves a task on, and tells the job."""
        super().advance(task_id, advance)
        self._tell(task_id)
        self._check()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Changes a task, and tells the job."""
        super().update(task_id, **changes)
        self._tell(task_id)
        self._check()

    def transfer(self, description: str) -> Callable[[int, int | None], None]:
        """A new task that shows how far a file is: `progress=progress.transfer("fetching")`."""
        task = self.add_task(description, total=None)

        def show(moved: int, of: int | None) -> None:
            self.update(task, completed=moved, total=of)

        return show

    def _check(self) -> None:
        if threading.get_ident() == self._owner:
            self._job.check()

    def _tell(self, task_id: TaskID) -> None:
        with self._lock:
            tasks = list(self._tasks.values())
            description = self._tasks[task_id].description
        done = sum(task.completed for task in tasks)
        totals = [task.total for task in tasks if task.total is not None]
        is_known = len(totals) == len(tasks) and done <= sum(totals)
        # Also called by a thread of rich's, where a cancellation would be lost.
        with suppress(JobCancelled):
            self._job.set_progress(done, sum(totals) if is_known else None)
            if description:
                self._job.message(description)
