"""The launcher for asyncio: `Launcher`, with each call awaited."""

from __future__ import annotations

import asyncio

from ._jobhook import Stop
from .action import action_of
from .awaited import InLoop, stoppable, waited
from .files import checked
from .launcher import Launch, Launcher, from_zero, not_over, path_of, paths_of, seen_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path
    from typing import Any

    from ._jobhook import LaunchFile
    from .action import Action, ActionFile, LogLine
    from .files import OnProgress, Source
    from .launcher import File, Grant, Seen

__all__ = ["AsyncLauncher"]


class AsyncLauncher:
    """Speaks to a server; see `Launcher` for what each method does and raises."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """As `Launcher`."""
        self._launcher = Launcher(url, token=token, ca_file=ca_file)
        self._native = self._launcher._native

    async def launch(
        self,
        type: str,
        arguments: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
        files: Iterable[File] | File = (),
        grants: Iterable[Grant] = (),
    ) -> Action:
        """Launches an action."""
        return await asyncio.to_thread(
            self._launcher.launch,
            type,
            arguments,
            attempts=attempts,
            timeout=timeout,
            files=files,
            grants=grants,
        )

    async def launch_operation(
        self,
        id: str,
        input: Any = None,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
        files: Iterable[File] | File = (),
        grants: Iterable[Grant] = (),
    ) -> Action:
        """Launches an operation by its name."""
        return await asyncio.to_thread(
            self._launcher.launch_operation,
            id,
            input,
            attempts=attempts,
            timeout=timeout,
            files=files,
            grants=grants,
        )

    async def launch_many(self, launches: Iterable[Launch]) -> list[Action]:
        """Launches up to 1,000 actions: all of them, or none."""
        return await asyncio.to_thread(self._launcher.launch_many, launches)

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        mimetype: str | None = None,
        metadata: dict[str, Any] | None = None,
        progress: OnProgress | None = None,
    ) -> LaunchFile:
        """Uploads a file that an action is to be launched with. May be cancelled."""
        stop, given, fields = Stop(), checked(source), (name, mimetype, metadata)
        seen, upload = InLoop.of(progress, stop), self._native.upload
        file = await stoppable(stop, lambda: upload(given, fields, seen, stop), seen)
        assert file is not None
        return file

    async def files(self, uuid: str, *, property: str | None = None) -> AsyncIterator[ActionFile]:
        """The files of an action."""
        found = self._launcher.files(uuid, property=property)
        while (file := await waited(lambda: next(found, None))) is not None:
            yield file

    async def download(
        self,
        uuid: str,
        file: ActionFile,
        path: str | os.PathLike[str] | None = None,
        *,
        progress: OnProgress | None = None,
    ) -> Path:
        """Downloads a file of an action, and tells where it is. May be cancelled."""
        to, replaces = path_of(file, path)
        return await self._download(uuid, file, to, replaces, progress)

    async def download_all(
        self, uuid: str, directory: str | os.PathLike[str] = ".", *, property: str = "outputs"
    ) -> list[Path]:
        """Downloads what an action left into a directory. May be cancelled."""
        found = [file async for file in self.files(uuid, property=property)]
        paths = paths_of(found, directory)
        for file, path in zip(found, paths, strict=True):
            await self._download(uuid, file, path, False, None)
        return paths

    async def _download(
        self, uuid: str, file: ActionFile, to: Path, replaces: bool, progress: OnProgress | None
    ) -> Path:
        stop, download, target = Stop(), self._native.download, (to, replaces)
        seen = InLoop.of(progress, stop)
        await stoppable(stop, lambda: download(uuid, file._text, target, seen, stop), seen)
        return to

    async def show(self, uuid: str) -> Action:
        """An action, with its history."""
        return await waited(lambda: self._launcher.show(uuid))

    async def list(
        self,
        *,
        status: str | Iterable[str] = (),
        type: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Action]:
        """The actions, newest first, asked for page by page."""
        found = self._launcher.list(status=status, type=type, limit=limit)
        while (action := await waited(lambda: next(found, None))) is not None:
            yield action

    async def lines(self, uuid: str, *, after: int = 0) -> AsyncIterator[LogLine]:
        """The lines that are stored now, with numbers above `after`."""
        found = self._launcher.lines(uuid, after=after)
        while (line := await waited(lambda: next(found, None))) is not None:
            yield line

    async def wait(self, uuid: str, *, timeout: float | None = None) -> Action:
        """Waits until an action is over. May be cancelled."""
        stop = Stop()
        text = await stoppable(stop, lambda: self._native.wait(uuid, timeout, stop))
        if text is None:
            raise not_over(uuid, timeout)
        return action_of(text)

    async def follow(self, uuid: str, *, after: int = 0) -> AsyncIterator[Seen]:
        """What is seen of an action until it is over. May be cancelled."""
        follower = self._native.follow(uuid, from_zero("`after`", after))
        stop = Stop()
        while (found := await stoppable(stop, lambda: follower.next(stop))) is not None:
            seen = seen_of(*found)
            if seen is not None:
                yield seen

    async def cancel(self, uuid: str, reason: str | None = None) -> Action:
        """Asks for the end of an action."""
        return await asyncio.to_thread(self._launcher.cancel, uuid, reason)

    async def retry(self, uuid: str) -> Action:
        """Launches a final action again, as a new one."""
        return await asyncio.to_thread(self._launcher.retry, uuid)
