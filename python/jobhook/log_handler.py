"""Records of `logging` as lines of the job's log."""

from __future__ import annotations

import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .async_job import AsyncJob
    from .job import Job

__all__ = ["JobLogHandler"]


class JobLogHandler(logging.Handler):
    """Adds every record to the log of a job. Never waits, and never raises `JobCancelled`.

        logging.getLogger().addHandler(JobLogHandler(job))

    Without a formatter a line has the level, the logger and the message.
    """

    def __init__(self, job: Job | AsyncJob, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._native = job._native
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Adds the record. What goes wrong is told as `logging` does it, see `handleError`."""
        try:
            self._native.log_quietly(self.format(record))
        except Exception:
            self.handleError(record)
