"""Files of actions on a real server: launched with, taken, left, listed and downloaded."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from pathlib import Path

import pytest
from conftest import BOUND_S, Server, digits_up_to

from jobhook import (
    Action,
    AsyncLauncher,
    FileUnusable,
    Grant,
    InvalidSetting,
    Launch,
    LaunchFile,
    Refused,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobhook.launcher import File

BIG = os.urandom(3 << 20)


def end_of(server: Server, action: Action) -> Action:
    over = server.launcher.wait(action.uuid, timeout=BOUND_S)
    assert over.status == "SUCCESS", (over.error_message, [*server.launcher.lines(over.uuid)])
    return over


ECHO = """
from pathlib import Path
from jobhook import Job

with Job.from_env() as job:
    infos = []
    for file in job.inputs:
        info = file.info()
        infos.append([info.name, info.mimetype, info.metadata, info.size, info.sha256])
        path = file.download(Path.cwd())
        left = job.outputs.upload(path, name=f"copy of {info.name}", metadata={"n": file.index})
        # A later attempt, or the same job, finds what is there.
        assert job.outputs[file.index].read() == path.read_bytes()
        job.outputs.upload(path.read_bytes(), name=f"copy of {info.name}")
        with path.open("rb") as again:
            job.outputs.upload(again, name=f"copy of {info.name}")
        path.unlink()
    assert len(job.inputs) == len(job.outputs) == len(infos)
    job.results = infos
"""


def test_what_an_action_takes_it_leaves_byte_by_byte(server: Server, tmp_path: Path) -> None:
    launcher = server.launcher
    contents = [b"", b"one", BIG]
    path = tmp_path / "räume.csv"
    path.write_bytes(contents[0])
    told: list[tuple[int, int | None]] = []
    files: list[File] = [
        path,
        launcher.upload(contents[1], name="one", mimetype="text/csv", metadata={"a": [1]}),
        launcher.upload(
            io.BytesIO(contents[2]),
            name="big",
            progress=lambda moved, of: told.append((moved, of)),
        ),
    ]
    action = end_of(server, launcher.launch("Python", {"code": ECHO}, files=files))
    last = told.pop()
    assert last == (len(BIG), None)
    sums = [hashlib.sha256(content).hexdigest() for content in contents]
    octets = "application/octet-stream"
    assert action.results == [
        ["räume.csv", octets, {}, 0, sums[0]],
        ["one", "text/csv", {"a": [1]}, 3, sums[1]],
        ["big", octets, {}, len(BIG), sums[2]],
    ]
    listed = [*launcher.files(action.uuid)]
    assert [(it.property, it.index) for it in listed] == [
        (name, index) for name in ("inputs", "outputs") for index in range(3)
    ]
    assert [it.sha256 for it in listed] == sums * 2
    assert [it.attempt for it in listed] == [None] * 3 + [1] * 3
    assert listed[4].metadata == {"n": 1}
    assert listed[0].created_at.tzinfo is not None
    paths = launcher.download_all(action.uuid, tmp_path / "new" / "out")
    assert [it.name for it in paths] == ["copy of räume.csv", "copy of one", "copy of big"]
    assert [it.read_bytes() for it in paths] == contents
    told.clear()
    back = launcher.download(
        action.uuid,
        listed[2],
        tmp_path / "back",
        progress=lambda moved, of: told.append((moved, of)),
    )
    assert back.read_bytes() == BIG
    last = told.pop()
    assert last == (len(BIG), len(BIG))
    assert launcher.download(action.uuid, listed[1], tmp_path).name == "one"


def test_a_number_longer_than_python_reads_hides_no_file(server: Server, tmp_path: Path) -> None:
    launcher = server.launcher
    # Metadata has no room for 4,300 digits, but a program may set another limit.
    metadata = {"n": 10**999}
    file = launcher.upload(b"x", name="a", metadata=metadata)
    action = end_of(server, launcher.launch("Python", {"code": ""}, files=[file]))
    with digits_up_to(640):
        [listed] = launcher.files(action.uuid)
        path = launcher.download(action.uuid, listed, tmp_path / "a")
    assert listed.metadata == metadata
    assert path.read_bytes() == b"x"


def test_files_that_share_a_name_have_their_number_before_it(
    server: Server, tmp_path: Path
) -> None:
    launcher = server.launcher
    files = [launcher.upload(content, name="a") for content in (b"0", b"1")]
    files.append(launcher.upload(b"2"))
    action = end_of(server, launcher.launch("Python", {"code": ""}, files=files))
    paths = launcher.download_all(action.uuid, tmp_path / "in", property="inputs")
    assert [it.name for it in paths] == ["0-a", "1-a", hashlib.md5(b"2").hexdigest()]
    assert [it.read_bytes() for it in paths] == [b"0", b"1", b"2"]
    assert launcher.download_all(action.uuid, tmp_path / "out") == []
    assert launcher.download_all(action.uuid, tmp_path / "in", property="inputs") == paths
    paths[1].write_bytes(b"of the person")
    with pytest.raises(FileUnusable, match="left alone") as exists:
        launcher.download_all(action.uuid, tmp_path / "in", property="inputs")
    assert exists.value.code == "file_exists"
    assert paths[1].read_bytes() == b"of the person"
    with pytest.raises(FileUnusable, match="0-a"):
        launcher.download_all(action.uuid, paths[0])
    with pytest.raises(InvalidSetting, match="one of the action's `files`, and not 0"):
        launcher.download(action.uuid, 0)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"a grant is .*, and not 'images/a/files'"):
        launcher.launch("Python", grants=["images/a/files"])  # type: ignore[list-item]


def test_a_job_uses_what_was_granted_and_nothing_else(server: Server) -> None:
    first = end_of(server, server.launcher.launch("Python", {"code": ECHO}, files=[__file__]))
    code = """
from jobhook import Job, Refused

with Job.from_env() as job:
    files = job.files("actions", job.arguments["other"], "outputs")
    job.results = [len(files), files[0].info().name, None]
    try:
        files.upload(b"x")
    except Refused as error:
        job.results = job.results[:2] + [error.code]
    assert len(job.files("actions", job.arguments["other"], "inputs")) == 0
"""
    arguments = {"code": code, "other": first.uuid}
    grants = [Grant("actions", first.uuid, "outputs")]
    launches = [
        Launch("Python", arguments, grants=grants),
        Launch("Python", {"code": ECHO}, files=__file__),
    ]
    actions = [end_of(server, it) for it in server.launcher.launch_many(launches)]
    assert actions[0].results == [1, "copy of test_files_server.py", "file_not_found"]
    assert len(actions[1].results) == 1
    with pytest.raises(InvalidSetting, match="read or write"):
        grant = ("actions", "*", "outputs", "delete")
        server.launcher.launch("Python", arguments, grants=[grant])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def test_what_cannot_be_launched_with_is_refused(server: Server, tmp_path: Path) -> None:
    launcher = server.launcher
    with pytest.raises(FileUnusable, match="nowhere"):
        launcher.launch("Python", {"code": ""}, files=[tmp_path / "nowhere"])
    file = launcher.upload(b"x", name="a/b")
    with pytest.raises(Refused, match="name"):
        launcher.launch("Python", {"code": ""}, files=[file])
    file = launcher.upload(b"x", name="a")
    assert isinstance(file, LaunchFile)
    end_of(server, launcher.launch("Python", {"code": ""}, files=[file]))
    with pytest.raises(Refused) as gone:
        launcher.launch("Python", {"code": ""}, files=[file])
    assert gone.value.code == "upload_gone"
    with pytest.raises(Refused) as unknown:
        list(launcher.files("0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234"))
    assert unknown.value.code == "action_not_found"


DROP_INS = """
import os
from pathlib import Path
from jobhook import check_job, download_from, send_status, upload_to

check_job()
uuid = os.environ["JOB_ID"]
folder = Path.cwd() / uuid
folder.mkdir()
path = download_from("AsyncActions", uuid, "inputs", 0, str(folder))
again = download_from("AsyncActions", uuid, "inputs", 0, str(folder))
assert path == again
made = folder / "made"
made.write_bytes(Path(path).read_bytes()[::-1])
upload_to("AsyncActions", uuid, "outputs", str(made), {"by": "upload_to"})
upload_to("AsyncActions", uuid, "outputs", str(made), {"by": "upload_to"})
send_status({"status": "SUCCESS", "results": path})
"""


@pytest.mark.parametrize("content", [b"", b"one", BIG], ids=["empty", "small", "big"])
def test_the_functions_of_the_original_move_files(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    launcher = server.launcher
    file = launcher.upload(content)
    action = end_of(server, launcher.launch("Python", {"code": DROP_INS}, files=[file]))
    assert Path(action.results).name == hashlib.md5(content).hexdigest()
    [left] = launcher.files(action.uuid, property="outputs")
    assert (left.name, left.metadata) == (None, {"by": "upload_to"})
    assert launcher.download(action.uuid, left, tmp_path / "x").read_bytes() == content[::-1]


def test_with_asyncio_files_are_launched_with_listed_and_downloaded(
    server: Server, tmp_path: Path
) -> None:
    async def main() -> None:
        launcher = AsyncLauncher(server.url)
        told: list[int] = []
        file = await launcher.upload(BIG, name="big", progress=lambda moved, of: told.append(moved))
        action = await launcher.launch("Python", {"code": ECHO}, files=[file])
        action = await launcher.wait(action.uuid, timeout=BOUND_S)
        assert action.status == "SUCCESS", action
        assert told[-1] == len(BIG)
        files = [it async for it in launcher.files(action.uuid)]
        assert [it.property for it in files] == ["inputs", "outputs"]
        path = await launcher.download(action.uuid, files[0], tmp_path)
        assert path.read_bytes() == BIG
        [path] = await launcher.download_all(action.uuid, tmp_path / "out")
        assert path.read_bytes() == BIG

    asyncio.run(main())


def test_what_a_watcher_raises_comes_out_of_the_await_of_an_async_launcher(
    server: Server, tmp_path: Path
) -> None:
    told: list[int] = []

    def watch(moved: int, of: int | None) -> None:
        told.append(moved)
        raise KeyError(moved)

    class UntilTold:
        def read(self, size: int) -> bytes:
            return b"" if told else bytes(size)

    async def main() -> None:
        launcher = AsyncLauncher(server.url)
        with pytest.raises(KeyError):
            await launcher.upload(UntilTold(), progress=watch)
        action = await launcher.launch("Python", {"code": ""}, files=[await launcher.upload(b"x")])
        [file] = [it async for it in launcher.files(action.uuid)]
        with pytest.raises(KeyError):
            await launcher.download(action.uuid, file, tmp_path / "a", progress=watch)
        await launcher.wait(action.uuid)

    asyncio.run(main())


INTERRUPTED = """
import hashlib
from pathlib import Path
from jobhook import Job

with Job.from_env(retry_pauses=(0.05, 0.2)) as job:
    folder = Path(job.arguments["folder"])
    begun, seen = [], []

    def watch(moved, of):
        seen.append(moved)
        # Nothing is taken meanwhile: bytes are on their way when the server is killed.
        if not begun and 0 < moved < of:
            begun.append(len(seen))
            (folder / "begun").write_bytes(b"")
            (folder / "back").read_bytes()

    path = job.inputs[0].download(folder / "came", progress=watch)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    assert seen == sorted(seen), seen
    job.results = {"sha256": digest.hexdigest(), "begun": bool(begun)}
"""


def test_a_download_goes_on_from_there_after_the_server_was_killed(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.write(BIG)
        file.truncate(256 << 20)
    # Pipes: who opens one waits for the other side.
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "back")
    arguments = {"code": INTERRUPTED, "folder": str(tmp_path)}
    action = server.launcher.launch("Python", arguments, files=[path])
    (tmp_path / "begun").read_bytes()
    server.kill()
    server.start()
    (tmp_path / "back").write_bytes(b"")
    over = end_of(server, action)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    assert over.results == {"sha256": digest.hexdigest(), "begun": True}
    assert [it for it in os.listdir(tmp_path) if it.endswith(".part")] == []
