"""A job for asyncio: what waits is awaited, the rest returns at once as it does in `Job`.

Waiting goes through `asyncio.to_thread`, and ends with its task. No thread of Rust ever calls into
Python, so a program that ends right after its last report ends as it should.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from itertools import repeat

from .awaited import waited
from .job import Job, total_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Literal, TypeVar

    from ._jobhook import NativeJob, Receipt
    from .async_files import AsyncFiles

    T = TypeVar("T")

__all__ = ["AsyncJob", "AsyncReceipt"]


class AsyncReceipt:
    """A report that is on its way."""

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt

    async def wait(self, limit: float = 30.0) -> None:
        """Waits until the server has stored the report, up to `limit` seconds.

        Raises:
            Refused: The server said no.
            ServerAway: It did not answer.
            JobOver: It belongs to the parent of this process (`job_forked`).
        """
        await waited(lambda: self._receipt.wait(limit))


class AsyncJob:
    """The job that this process is, for async code; see `Job` for what each method does.

    async with AsyncJob.from_env() as job:
        arguments = await job.arguments()
        async for path in job.progress(arguments["paths"]):
            await resize(path)
        job.results = {"resized": 3}
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        heartbeat: float | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        spool_directory: str | os.PathLike[str] | None = None,
        spool_bytes: int = 64 * 1024 * 1024,
        patience: float = 900.0,
        flush_limit: float = 30.0,
        answer_timeout: float = 10.0,
        retry_pauses: tuple[float, float] = (0.1, 5.0),
        progress_interval: float = 0.25,
        listen_every: float = 10.0,
        handle_sigterm: bool = True,
    ) -> AsyncJob:
        """As `Job.from_env`."""
        return cls(
            Job.from_env(
                environ,
                heartbeat=heartbeat,
                ca_file=ca_file,
                spool_directory=spool_directory,
                spool_bytes=spool_bytes,
                patience=patience,
                flush_limit=flush_limit,
                answer_timeout=answer_timeout,
                retry_pauses=retry_pauses,
                progress_interval=progress_interval,
                listen_every=listen_every,
                handle_sigterm=handle_sigterm,
            )
        )

    @property
    def _native(self) -> NativeJob:
        return self._job._native

    @property
    def id(self) -> str:
        """The action's id."""
        return self._job.id

    @property
    def attempt(self) -> int | None:
        """The attempt's number, from 1; `None` where the server does not tell."""
        return self._job.attempt

    @property
    def traceparent(self) -> str | None:
        """The W3C Trace Context of the launch."""
        return self._job.traceparent

    async def arguments(self) -> Any:
        """What the action was launched with. As `Job.arguments`."""
        return await waited(lambda: self._job.arguments)

    @property
    def results(self) -> Any:
        """What the job made, reported when the block is left. As `Job.results`."""
        return self._job.results

    @results.setter
    def results(self, value: Any) -> None:
        self._job.results = value

    @property
    def inputs(self) -> AsyncFiles:
        """The files that the action was launched with. As `Job.inputs`."""
        return self.files(self._native.action_store, self.id, "inputs")

    @property
    def outputs(self) -> AsyncFiles:
        """The files that were left with the action. As `Job.outputs`."""
        return self.files(self._native.action_store, self.id, "outputs")

    def files(self, store: str, uuid: str, property: str) -> AsyncFiles:
        """The files of any property, which the launch must have granted. As `Job.files`."""
        from .async_files import AsyncFiles

        return AsyncFiles(self._job.files(store, uuid, property))

    def report(
        self,
        status: Literal["RUNNING", "SUCCESS", "ERROR"] | None = None,
        *,
        results: Any = None,
        details: Any = None,
        error_name: str | None = None,
        error_message: str | None = None,
        message: str | None = None,
        logs: Iterable[str] = (),
    ) -> AsyncReceipt:
        """Says something. Returns at once. As `Job.report`."""
        return AsyncReceipt(
            self._job.report(
                status,
                results=results,
                details=details,
                error_name=error_name,
                error_message=error_message,
                message=message,
                logs=logs,
            )
        )

    def log(self, text: str) -> None:
        """Adds a line to the log. Returns at once. As `Job.log`."""
        self._job.log(text)

    def message(self, text: str) -> None:
        """Says what the job is doing. Returns at once. As `Job.message`."""
        self._job.message(text)

    def set_progress(self, done: float, total: float | None = None) -> None:
        """Says how far the job is. Returns at once. As `Job.set_progress`."""
        self._job.set_progress(done, total)

    async def progress(
        self,
        iterable: Iterable[T] | AsyncIterable[T],
        *,
        total: int | None = None,
        desc: str | None = None,
    ) -> AsyncIterator[T]:
        """Passes the items through and says how far they are. As `Job.progress`, without a bar."""
        counter = self._native.steps(repeat(None), total_of(iterable, total), desc)
        if isinstance(iterable, AsyncIterable):
            async for item in iterable:
                next(counter)
                yield item
        else:
            for item in iterable:
                next(counter)
                yield item
                # A loop without any other await must not keep the event loop for itself.
                await asyncio.sleep(0)
        counter.finish()

    @property
    def is_cancelled(self) -> bool:
        """Whether the job should end."""
        return self._job.is_cancelled

    def check(self) -> None:
        """Raises `JobCancelled` if the job should end. As `Job.check`."""
        self._job.check()

    async def flush(self, limit: float | None = None) -> None:
        """Waits until everything that was said is answered. As `Job.flush`."""
        await waited(lambda: self._job.flush(limit))

    async def close(self) -> None:
        """Sends what is left, and says no more. As `Job.close`."""
        await asyncio.to_thread(self._job.close)

    @property
    def error(self) -> BaseException | None:
        """What went wrong, if anything did."""
        return self._job.error

    async def __aenter__(self) -> AsyncJob:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._job.__exit__, exc_type, exc, traceback)

    def __repr__(self) -> str:
        return f"<jobhook.AsyncJob {self.id} attempt {self.attempt}>"
