"""The files of a job for asyncio: each transfer is awaited, and ends with its task."""

from __future__ import annotations

from ._jobhook import Stop
from .awaited import InLoop, stoppable, waited
from .errors import JobCancelled
from .files import FileInfo, Uploaded, checked, checked_index, info_of, target_of, uploaded_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any, TypeVar

    from .files import Files, OnProgress, Source

    T = TypeVar("T")

__all__ = ["AsyncFiles", "AsyncJobFile"]


class AsyncJobFile:
    """A file that a job may take; see `JobFile` for what each method does and raises."""

    def __init__(self, files: AsyncFiles, index: int, info: FileInfo | None = None) -> None:
        self._files = files
        self._info = info
        self.index = index

    async def info(self) -> FileInfo:
        """What the server says about it."""
        if self._info is None:
            self._info = await self._files._look(self.index)
            if self._info is None:
                raise IndexError(f"there is no file {self.index} in {self._files!r}")
        return self._info

    async def download(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        progress: OnProgress | None = None,
    ) -> Path:
        """Fetches it, and tells where it is."""
        native = self._files._native
        target, is_directory = target_of(path)
        came = await self._files._move(
            progress,
            lambda seen, heeds, stop: native.download(
                self.index, target, is_directory, seen, heeds, stop
            ),
        )
        assert came is not None
        return came[0]

    async def read(self, *, progress: OnProgress | None = None) -> bytes:
        """Fetches it into memory."""
        native = self._files._native
        read = await self._files._move(
            progress, lambda seen, heeds, stop: native.read(self.index, seen, heeds, stop)
        )
        assert read is not None
        return read

    def __repr__(self) -> str:
        return f"<jobhook.AsyncJobFile {self.index} of {self._files!r}>"


class AsyncFiles:
    """The files of one property; see `Files` for what each method does and raises.

    async for file in job.inputs:
        print((await file.info()).name, await file.download(folder / str(file.index)))
    await job.outputs.upload("counts.csv", mimetype="text/csv")
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._native = files._native

    def __getitem__(self, index: int) -> AsyncJobFile:
        """A file by its number, from 0; whether it is there shows when it is used.

        Raises:
            IndexError: The number is negative: how many there are has to be awaited.
        """
        checked_index(index)
        if index < 0:
            raise IndexError("how many files there are is not known: `await files.count()` tells")
        return AsyncJobFile(self, index)

    async def __aiter__(self) -> AsyncIterator[AsyncJobFile]:
        """All that are there, each asked for when its turn comes."""
        index = 0
        while (info := await self._look(index)) is not None:
            yield AsyncJobFile(self, index, info)
            index += 1

    async def count(self) -> int:
        """How many there are. Asks for each."""
        count = 0
        async for _ in self:
            count += 1
        return count

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        mimetype: str | None = None,
        metadata: dict[str, Any] | None = None,
        progress: OnProgress | None = None,
    ) -> Uploaded:
        """Leaves a file with the server. A file object is read in another thread."""
        native, given, fields = self._native, checked(source), (name, mimetype, metadata)
        found = await self._move(
            progress, lambda seen, heeds, stop: native.upload(given, fields, seen, heeds, stop)
        )
        return uploaded_of(found)

    async def _look(self, index: int) -> FileInfo | None:
        self._files._job.heed()
        return info_of(await waited(lambda: self._native.look(index)))

    async def _move(
        self, progress: OnProgress | None, work: Callable[[InLoop | None, bool, Stop], T]
    ) -> T:
        job = self._files._job
        heeds, stop = job.heed(), Stop()
        seen = InLoop.of(progress, stop)
        try:
            return await stoppable(stop, lambda: work(seen, heeds, stop), seen)
        except JobCancelled:
            # Here, so that this thread counts as told, and not the one that waited.
            job.check()
            raise

    def __repr__(self) -> str:
        return repr(self._files)
