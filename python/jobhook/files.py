"""The files of a job: what it takes, and what it leaves.

A transfer waits, lets other threads run, and goes on where it broke off, as long as the job is
patient. What arrives is compared before it has its name. How bytes go to which server is decided
in Rust.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

from ._jobhook import NativeFiles
from .digits import loads
from .errors import InvalidSetting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Protocol, TypeAlias

    from ._jobhook import NativeJob

    class Readable(Protocol):
        """A file object that gives bytes."""

        def read(self, size: int, /) -> bytes: ...

    # A path, the bytes themselves, or a file object that gives bytes.
    Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable
    # Told how many bytes were moved, and of how many, if that is known.
    OnProgress: TypeAlias = Callable[[int, int | None], object]

__all__ = ["FileInfo", "Files", "JobFile", "Uploaded"]


@dataclass(frozen=True)
class FileInfo:
    """What a server says about a file.

    Attributes:
        name: Its name, which is no path; `None` if it has none.
        mimetype: Its media type.
        metadata: What else is known of it, any JSON object.
        md5: Of its content, in hex.
        size: How many bytes it has; `None` from servers of the original.
        sha256: Of its content, in hex; `None` from servers of the original.
    """

    name: str | None
    mimetype: str
    metadata: dict[str, Any]
    md5: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Uploaded:
    """What was left with the server.

    Attributes:
        size: How many bytes it has.
        md5: Of its content, in hex, if it is known.
        sha256: Of its content, in hex, if it was computed here.
        already: Whether the server had the content before, so that nothing was sent.
    """

    size: int
    md5: str | None
    sha256: str | None
    already: bool


class JobFile:
    """A file that a job may take. Nothing is asked before it is used."""

    def __init__(self, files: Files, index: int, info: FileInfo | None = None) -> None:
        self._files = files
        self._info = info
        self.index = index

    def info(self) -> FileInfo:
        """What the server says about it. The first use asks and waits, unless it came in a loop.

        Raises:
            IndexError: There is no such file.
            Refused, ServerAway: As `download`.
        """
        if self._info is None:
            self._info = self._files._look(self.index)
            if self._info is None:
                raise IndexError(f"there is no file {self.index} in {self._files!r}")
        return self._info

    def download(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        progress: OnProgress | None = None,
    ) -> Path:
        """Fetches it, and tells where it is.

        It has its name once all of it is there and is what the server announced.

        Args:
            path: A directory, where it goes to under the name that it has, or its MD5 if that is
                none: if the same file is there nothing is fetched, and something else is left
                alone. Or the file, which is replaced. The current directory if `None`.
            progress: Called with the bytes that arrived and those there are, a few times a second.
                What it raises ends the download. By the last call, that all arrived, the file may
                be there, and stays.

        Raises:
            Refused: Code `file_not_found`, for example.
            ContentMismatch: Other bytes arrived, three times.
            FileUnusable: It cannot be written; code `file_exists` where something else has its name
                in the directory.
            ServerAway: The server did not answer for as long as the job is patient.
            JobCancelled: The job should end. Nothing is left of it.
        """
        return self._files._download(self.index, path, progress)

    def read(self, *, progress: OnProgress | None = None) -> bytes:
        """Fetches it into memory. Raises as `download`."""
        return self._files._read(self.index, progress)

    def __repr__(self) -> str:
        return f"<jobhook.JobFile {self.index} of {self._files!r}>"


class Files:
    """The files of one property: `job.inputs`, `job.outputs`, or what `job.files` names.

    for file in job.inputs:
        print(file.info().name, file.download(folder / str(file.index)))
    job.outputs.upload("counts.csv", mimetype="text/csv")

    They are numbered from 0, and a number never changes its file. A job is not told how many there
    are: `len()` and negative numbers ask for one after the other.
    """

    def __init__(self, native: NativeJob, store: str, uuid: str, property: str) -> None:
        self._job = native
        self._native = NativeFiles(native, store, uuid, property)
        self._place = f"{store}/{uuid}/{property}"

    def __getitem__(self, index: int) -> JobFile:
        """A file by its number; whether it is there shows when it is used.

        Raises:
            IndexError: A negative number of more files than there are.
        """
        checked_index(index)
        if index < 0:
            count = len(self)
            if count + index < 0:
                raise IndexError(f"there are {count} files in {self!r}, and no {index}")
            index += count
        return JobFile(self, index)

    def __iter__(self) -> Iterator[JobFile]:
        """All that are there, each asked for when its turn comes. Raises as `JobFile.info`.

        A server tells nobody what he may not read, so a place that was not granted has no files.
        """
        index = 0
        while (info := self._look(index)) is not None:
            yield JobFile(self, index, info)
            index += 1

    def __len__(self) -> int:
        """How many there are. Asks for each, and waits. Raises as `JobFile.info`."""
        return sum(1 for _ in self)

    def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        mimetype: str | None = None,
        metadata: dict[str, Any] | None = None,
        progress: OnProgress | None = None,
    ) -> Uploaded:
        """Leaves a file with the server, which has it for good when this returns.

        Upload before you report SUCCESS: nothing is taken afterwards.

        Args:
            source: A path, bytes, or a file object that was opened with "rb", which is read from
                where it stands to its end.
            name: Its name, 1 to 255 bytes and no path; that of the path if `None`. Bytes and file
                objects have none then.
            mimetype: Its media type, such as `text/csv`; `application/octet-stream` if `None`.
            metadata: A JSON object of at most 4,096 bytes.
            progress: Called with the bytes that were sent and those there are, or `None`, a few
                times a second. It begins anew where they have to be sent again. What it raises
                ends the upload. By the last call, that all were sent, the server may have it, and
                keeps it.

        Raises:
            Refused: Codes `file_not_found` (the job may not write there), `quota_exceeded`,
                `file_too_large` and `storage_full`, for example.
            InvalidSetting, InvalidValue: The name, media type, metadata or source cannot be one.
            FileUnusable: It cannot be read, or somebody wrote to it meanwhile.
            ServerAway: The server did not answer for as long as the job is patient; or did not
                take a file object, which can be read once.
            JobCancelled: The job should end.
        """
        heeds = self._job.heed()
        fields = (name, mimetype, metadata)
        found = self._native.upload(checked(source), fields, progress, heeds, None)
        return uploaded_of(found)

    def _look(self, index: int) -> FileInfo | None:
        self._job.heed()
        return info_of(self._native.look(index))

    def _download(
        self, index: int, path: str | os.PathLike[str] | None, progress: OnProgress | None
    ) -> Path:
        heeds = self._job.heed()
        target, is_directory = target_of(path)
        came = self._native.download(index, target, is_directory, progress, heeds, None)
        assert came is not None
        return came[0]

    def _read(self, index: int, progress: OnProgress | None) -> bytes:
        read = self._native.read(index, progress, self._job.heed(), None)
        assert read is not None
        return read

    def __repr__(self) -> str:
        return f"<jobhook.Files {self._place}>"


def checked(source: Source) -> Source:
    """What can be uploaded, as Rust takes it.

    Raises:
        InvalidSetting: It cannot.
    """
    if isinstance(source, (bytes, str, os.PathLike)):
        return source
    if isinstance(source, (bytearray, memoryview)):
        # Of its own: the program may write to it meanwhile.
        return bytes(source)
    if isinstance(source, io.TextIOBase):
        raise InvalidSetting('the file object gives text: open it with "rb"', "invalid_setting")
    if not hasattr(source, "read"):
        what = type(source).__name__
        raise InvalidSetting(
            f"what is uploaded is a path, bytes or a file object, and not a {what}",
            "invalid_setting",
        )
    return source


def checked_index(index: object) -> None:
    """Refuses what is no number, in plain words."""
    if not hasattr(index, "__index__"):
        raise TypeError(f"files are numbered from 0, and {index!r} is no number")


def target_of(path: str | os.PathLike[str] | None) -> tuple[str | os.PathLike[str], bool]:
    """Where a download goes to, and whether that is a directory."""
    if path is None:
        return ".", True
    return path, os.path.isdir(path)


def info_of(text: str | None) -> FileInfo | None:
    """What a server says about a file, from the JSON of its answer."""
    if text is None:
        return None
    found = loads(text)
    return FileInfo(
        name=found.get("name"),
        mimetype=found["mimetype"],
        metadata=found["metadata"],
        md5=found["hash"],
        size=found.get("size"),
        sha256=found.get("sha256"),
    )


def uploaded_of(found: tuple[int, str | None, str | None, bool] | None) -> Uploaded:
    """What was left."""
    assert found is not None
    return Uploaded(*found)
