"""Files of a job: taken, left, compared, broken off and gone on with."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BOUND_S, Run

from jobhook import (
    AsyncJob,
    ContentMismatch,
    FileUnusable,
    InvalidSetting,
    InvalidValue,
    Job,
    JobCancelled,
    Refused,
    ServerAway,
)
from jobhook.testing import FakeHook

BIG = bytes(range(256)) * (3 * 4096) + b"the end"  # 3 MiB, more than is sent at once
PAUSES = (0.002, 0.01)


@pytest.fixture
def job(job_hook: FakeHook) -> Iterator[Job]:
    with Job.from_env(retry_pauses=PAUSES) as job:
        yield job


@pytest.fixture
def original(job_hook: FakeHook) -> Iterator[Job]:
    """A job of a server of the original, which does not speak v1."""
    environ = job_hook.environ
    del environ["JOB_ATTEMPT"]
    job_hook.set_environ(environ)
    with Job.from_env(environ, retry_pauses=PAUSES) as job:
        yield job


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"one", BIG], ids=["empty", "small", "big"])
@pytest.mark.parametrize("profile", ["job", "original"])
def test_what_is_uploaded_is_there_byte_by_byte(
    job_hook: FakeHook,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    content: bytes,
    profile: str,
) -> None:
    job: Job = request.getfixturevalue(profile)
    path = tmp_path / "räume & more.csv"
    path.write_bytes(content)
    left = job.outputs.upload(path, mimetype="text/csv", metadata={"rows": [3, None]})
    assert left.size == len(content)
    assert left.md5 == hashlib.md5(content).hexdigest()
    [file] = job_hook.outputs
    assert file == (content, "räume & more.csv", "text/csv", {"rows": [3, None]})
    # And comes back.
    back = job.outputs[0].download(tmp_path / "back")
    assert back == tmp_path / "back"
    assert back.read_bytes() == content
    assert job.outputs[0].read() == content
    assert leftovers(tmp_path) == ["back", "räume & more.csv"]


def test_a_server_of_jobhook_gets_what_is_big_in_one_pass_and_no_hash_before(
    job_hook: FakeHook, job: Job, original: Job
) -> None:
    before = job_hook.requests
    job.outputs.upload(BIG, name="a")
    # Opened, sent, closed; announced and sent.
    assert job_hook.requests - before == 3
    before = job_hook.requests
    original.outputs.upload(BIG[1:], name="b")
    assert job_hook.requests - before == 2


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
@pytest.mark.parametrize("content", [b"", b"one", BIG], ids=["empty", "small", "big"])
def test_bytes_and_file_objects_are_uploaded(
    job_hook: FakeHook, job: Job, original: Job, kind: type, content: bytes
) -> None:
    job.outputs.upload(kind(content), name="v1")
    original.outputs.upload(kind(content))
    assert [(it.bytes, it.name) for it in job_hook.outputs] == [(content, "v1"), (content, None)]


def test_a_file_object_is_read_from_where_it_stands_by_the_thread_that_uploads(
    job_hook: FakeHook, job: Job
) -> None:
    threads: set[int] = set()

    class Reader:
        def __init__(self) -> None:
            self.file = io.BytesIO(BIG)
            self.file.seek(5)

        def read(self, size: int) -> bytes:
            threads.add(threading.get_ident())
            return self.file.read(min(size, 1000))

    job.outputs.upload(Reader())
    assert job_hook.outputs[0].bytes == BIG[5:]
    assert threads == {threading.get_ident()}


def test_the_exception_of_a_file_object_is_that_of_the_upload(job_hook: FakeHook, job: Job) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            if size:
                raise OSError("the tape is torn")
            return b""

    with pytest.raises(OSError, match="the tape is torn"):
        job.outputs.upload(Broken())
    assert job_hook.outputs == []
    # The job goes on.
    job.outputs.upload(b"x")
    assert len(job_hook.outputs) == 1


def test_what_is_no_file_is_refused_before_anything_is_sent(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    before = job_hook.requests
    text = io.StringIO("text")
    with pytest.raises(InvalidSetting, match='open it with "rb"'):
        job.outputs.upload(text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidSetting, match="not a int"):
        job.outputs.upload(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    class Texts:
        def read(self, size: int) -> str:
            return "text"

    with pytest.raises(InvalidSetting, match=r"its read\(\) gave <class 'str'>"):
        job.outputs.upload(Texts())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for name in ("", ".", "..", "a/b", "a\\b", "a\nb", "x" * 256):
        with pytest.raises(InvalidSetting, match="name"):
            job.outputs.upload(b"x", name=name)
    with pytest.raises(InvalidSetting, match="mimetype"):
        job.outputs.upload(b"x", mimetype="text")
    with pytest.raises(InvalidSetting, match="metadata"):
        job.outputs.upload(b"x", metadata={"a": "x" * 4096})
    with pytest.raises(InvalidValue, match=r"metadata\.a"):
        job.outputs.upload(b"x", metadata={"a": float("nan")})
    with pytest.raises(FileUnusable, match="No such file") as missing:
        job.outputs.upload(tmp_path / "nowhere")
    assert missing.value.code == "file_unreadable"
    assert isinstance(missing.value, OSError)
    with pytest.raises(FileUnusable, match="directory"):
        job.outputs.upload(tmp_path)
    with pytest.raises(InvalidSetting, match="no part of an address"):
        job.files("images", "..", "files").upload(b"x")
    assert job_hook.requests == before


def test_inputs_are_counted_and_passed_through_in_order(
    job_hook: FakeHook, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(job.inputs) == 0
    assert not job.inputs
    job_hook.add_input(b"first", "a.txt", mimetype="text/plain", metadata={"n": 1})
    job_hook.add_input(b"second")
    assert len(job.inputs) == 2
    infos = [file.info() for file in job.inputs]
    assert [(it.name, it.size) for it in infos] == [("a.txt", 5), (None, 6)]
    assert infos[0].metadata == {"n": 1}
    assert infos[0].mimetype == "text/plain"
    assert infos[0].sha256 == hashlib.sha256(b"first").hexdigest()
    # In the current directory under its name, or its MD5.
    monkeypatch.chdir(tmp_path)
    paths = [file.download() for file in job.inputs]
    assert [path.name for path in paths] == ["a.txt", hashlib.md5(b"second").hexdigest()]
    assert [path.read_bytes() for path in paths] == [b"first", b"second"]
    assert job.inputs[-1].read() == b"second"
    with pytest.raises(IndexError):
        job.inputs[-3]
    with pytest.raises(IndexError, match="there is no file 2"):
        job.inputs[2].info()
    with pytest.raises(Refused) as refused:
        job.inputs[2].download()
    assert refused.value.code == "file_not_found"
    assert len(leftovers(tmp_path)) == 2


def test_other_objects_are_named_by_store_id_and_property(job_hook: FakeHook, job: Job) -> None:
    place = ("images", "cat-1", "files")
    job_hook.add_input(b"a cat", "cat.png", place=place)
    files = job.files(*place)
    assert files[0].read() == b"a cat"
    files.upload(b"a kitten", name="kitten.png")
    assert [it.name for it in job_hook.files("Images", "cat-1", "files")] == [
        "cat.png",
        "kitten.png",
    ]
    assert job_hook.outputs == []


def test_a_download_that_breaks_off_goes_on_from_there(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    job_hook.add_input(BIG, "big")
    job_hook.script("well", ("cut_at", 1_000_000), "cut_before", "well", ("cut_at", 500_000))
    told: list[tuple[int, int | None]] = []
    path = job.inputs[0].download(tmp_path, progress=lambda moved, of: told.append((moved, of)))
    assert path.read_bytes() == BIG
    assert leftovers(tmp_path) == ["big"]
    assert told[-1] == (len(BIG), len(BIG))


def test_wrong_bytes_are_fetched_again_and_never_kept(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    job_hook.add_input(BIG, "big")
    (tmp_path / "big").write_bytes(b"the one before")
    job_hook.script("well", "damage")
    assert job.inputs[0].read() == BIG
    job_hook.script("well", "damage", "well", "damage", "well", "damage")
    with pytest.raises(ContentMismatch, match="its hash is") as mismatch:
        job.inputs[0].download(tmp_path / "big")
    assert mismatch.value.code == "content_mismatch"
    assert (tmp_path / "big").read_bytes() == b"the one before"
    assert leftovers(tmp_path) == ["big"]


def test_a_name_that_somebody_else_chose_replaces_nothing(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    job_hook.add_input(b"new", "a")
    there = tmp_path / "a"
    there.write_bytes(b"of the program")
    with pytest.raises(FileUnusable, match="left alone") as exists:
        job.inputs[0].download(tmp_path)
    assert exists.value.code == "file_exists"
    assert there.read_bytes() == b"of the program"
    assert job.inputs[0].download(there).read_bytes() == b"new"
    asked = job_hook.requests
    assert job.inputs[0].download(tmp_path) == there
    assert job_hook.requests == asked + 1, "the same file need not come"


def test_a_file_has_a_number(job: Job) -> None:
    with pytest.raises(TypeError, match="'a' is no number"):
        job.inputs["a"]  # type: ignore[index]


def test_where_nothing_can_be_written_the_error_names_the_place(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    job_hook.add_input(b"x", "a")
    with pytest.raises(FileUnusable, match="nowhere") as unwritable:
        job.inputs[0].download(tmp_path / "nowhere" / "a")
    assert unwritable.value.code == "file_unwritable"


def test_an_upload_waits_for_a_server_that_is_away(job_hook: FakeHook, job: Job) -> None:
    job_hook.script("cut_before", ("refuse", 503), "well", "cut_before", "well", "cut_after")
    left = job.outputs.upload(BIG, name="big")
    assert left.sha256 == hashlib.sha256(BIG).hexdigest()
    assert [it.bytes for it in job_hook.outputs] == [BIG]


def test_patience_has_an_end(job_hook: FakeHook) -> None:
    job_hook.behave("cut_before")
    job = Job.from_env(patience=0.05, retry_pauses=PAUSES, flush_limit=0)
    with pytest.raises(ServerAway) as away:
        job.outputs.upload(b"x")
    assert away.value.code == "server_unreachable"


def test_progress_is_told_by_the_thread_that_waits_and_to_the_end(
    job_hook: FakeHook, job: Job
) -> None:
    told: list[tuple[int, int | None]] = []
    threads: set[int] = set()

    def watch(moved: int, of: int | None) -> None:
        told.append((moved, of))
        threads.add(threading.get_ident())

    job.outputs.upload(BIG, progress=watch)
    assert told[-1] == (len(BIG), len(BIG))
    assert [moved for moved, _ in told] == sorted(moved for moved, _ in told)
    job.outputs.upload(io.BytesIO(BIG[1:]), progress=watch)
    last: tuple[int, int | None] = told.pop()
    assert last == (len(BIG) - 1, None)
    assert threads == {threading.get_ident()}
    # What the job says is a watcher, too.
    job.outputs.upload(BIG[2:], progress=job.set_progress)
    job.flush()
    said = {"done": len(BIG) - 2, "total": len(BIG) - 2, "percent": 100}
    assert job_hook.progress == said


def test_an_exception_of_the_watcher_ends_the_transfer(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    job_hook.add_input(BIG, "big")

    def watch(moved: int, of: int | None) -> None:
        raise KeyError(moved)

    with pytest.raises(KeyError):
        job.inputs[0].download(tmp_path, progress=watch)


def test_bars_of_tqdm_and_rich_show_a_transfer(job_hook: FakeHook, job: Job) -> None:
    from rich.console import Console

    from jobhook.rich import JobProgress
    from jobhook.tqdm import tqdm

    job_hook.add_input(BIG, "big")
    with tqdm(job=job, desc="fetching", unit="B") as bar:
        job.inputs[0].read(progress=bar.transfer)
        assert (bar.n, bar.total) == (len(BIG), len(BIG))
    job.flush()
    assert job_hook.progress is not None
    assert job_hook.progress["done"] == len(BIG)
    with JobProgress(job, console=Console(file=io.StringIO())) as progress:
        job.outputs.upload(BIG, progress=progress.transfer("leaving"))
        [task] = progress.tasks
        assert (task.completed, task.total) == (len(BIG), len(BIG))


def test_a_cancellation_ends_a_transfer_and_cleaning_up_may_leave_files(
    job_hook: FakeHook, tmp_path: Path
) -> None:
    job_hook.add_input(BIG, "big")
    job = Job.from_env(retry_pauses=PAUSES, handle_sigterm=False)
    job_hook.script("well", "silent")

    def cancel() -> None:
        assert job_hook.wait_for_requests(2)
        job._native.cancel("a test")

    began = threading.Thread(target=cancel)
    began.start()
    with pytest.raises(JobCancelled, match="a test"):
        job.inputs[0].download(tmp_path)
    began.join()
    # This thread was told.
    job.outputs.upload(b"what is done", name="partial")
    assert [it.name for it in job_hook.outputs] == ["partial"]
    job.close()


def test_ctrl_c_ends_a_download_at_once_and_leaves_nothing(
    job_hook: FakeHook, run: Run, tmp_path: Path
) -> None:
    job_hook.add_input(BIG, "big")
    # A third of it arrives, and then nothing more: the address is asked for again in vain.
    job_hook.script("well", ("cut_at", 1_000_000), "silent")
    program = run(f"""
        from jobhook import Job

        job = Job.from_env(retry_pauses=(0.002, 0.01), answer_timeout=600, flush_limit=0)
        print("ready", flush=True)
        job.inputs[0].download({str(tmp_path)!r})
    """)
    assert program.line() == "ready"
    assert job_hook.wait_for_requests(3)
    program.signal(2)
    code, stderr = program.end()
    assert code == -2, stderr
    assert "KeyboardInterrupt" in stderr
    assert leftovers(tmp_path) == []


def test_sigterm_ends_an_upload(job_hook: FakeHook, run: Run) -> None:
    job_hook.script("well", "silent")
    program = run("""
        from jobhook import Job

        with Job.from_env(answer_timeout=600, flush_limit=0) as job:
            print("ready", flush=True)
            job.outputs.upload(b"x" * 10_000_000)
    """)
    assert program.line() == "ready"
    assert job_hook.wait_for_requests(2)
    program.signal(15)
    code, stderr = program.end()
    assert (code, "JobCancelled" in stderr) == (1, True)
    assert job_hook.outputs == []


def test_other_threads_run_during_a_transfer(job_hook: FakeHook, job: Job) -> None:
    job_hook.script("silent")
    ran = threading.Event()

    def work() -> None:
        # The transfer waits for an answer that does not come.
        assert job_hook.wait_for_requests(1)
        ran.set()
        job_hook.go_away()
        job_hook.come_back()

    thread = threading.Thread(target=work)
    thread.start()
    job.outputs.upload(b"x")
    assert ran.is_set()
    thread.join()


def test_threads_transfer_at_the_same_time(job_hook: FakeHook, job: Job, tmp_path: Path) -> None:
    contents = [bytes([number]) + BIG for number in range(4)]
    threads = [threading.Thread(target=job.outputs.upload, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
    assert sorted(it.bytes for it in job_hook.outputs) == contents
    assert sorted(job.outputs[number].read() for number in range(4)) == contents


def test_a_file_that_changes_meanwhile_is_not_left(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(BIG)
    # All of it is sent and not answered, so that it has to be sent again.
    job_hook.script("well", "silent")

    def write() -> None:
        assert job_hook.wait_for_requests(2)
        with path.open("ab") as file:
            file.write(b"more")
        job_hook.go_away()
        job_hook.come_back()

    thread = threading.Thread(target=write)
    thread.start()
    with pytest.raises(FileUnusable, match="once it is complete") as changed:
        job.outputs.upload(path)
    thread.join()
    assert changed.value.code == "file_changed"
    assert job_hook.outputs == []


def test_with_asyncio_files_are_awaited(job_hook: FakeHook, tmp_path: Path) -> None:
    job_hook.add_input(BIG, "big")
    job_hook.add_input(b"small", "small")
    told: list[int] = []
    main_thread = threading.get_ident()

    def watch(moved: int, of: int | None) -> None:
        assert threading.get_ident() == main_thread
        told.append(moved)

    async def main() -> None:
        async with AsyncJob.from_env(retry_pauses=PAUSES) as job:
            assert await job.inputs.count() == 2
            names = [(await file.info()).name async for file in job.inputs]
            assert names == ["big", "small"]
            first, second = await asyncio.gather(
                job.inputs[0].download(tmp_path, progress=watch), job.inputs[1].read()
            )
            assert (first.read_bytes(), second) == (BIG, b"small")
            await asyncio.sleep(0)
            left = await job.outputs.upload(io.BytesIO(BIG), name="back", metadata={"a": 1})
            assert left.size == len(BIG)
            await job.files("images", "cat-1", "files").upload(b"x")
            with pytest.raises(IndexError):
                job.inputs[-1]
            with pytest.raises(IndexError):
                await job.inputs[2].info()

    asyncio.run(main())
    assert told[-1] == len(BIG)
    assert [it.bytes for it in job_hook.outputs] == [BIG]
    assert len(job_hook.files("images", "cat-1", "files")) == 1


def test_a_task_that_is_cancelled_gives_its_transfer_up(job_hook: FakeHook, tmp_path: Path) -> None:
    job_hook.add_input(BIG, "big")

    async def main() -> None:
        async with AsyncJob.from_env(retry_pauses=PAUSES, answer_timeout=600) as job:
            job_hook.script("well", ("cut_at", 1_000_000), "silent")
            before = job_hook.requests
            task = asyncio.create_task(job.inputs[0].download(tmp_path))
            assert await asyncio.to_thread(job_hook.wait_for_requests, before + 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    # Waits for its threads, which would else wait for an answer for ten minutes.
    asyncio.run(main())
    assert leftovers(tmp_path) == []


def test_a_cancelled_job_ends_an_await_with_the_cancellation(job_hook: FakeHook) -> None:
    async def main() -> None:
        job = AsyncJob.from_env(retry_pauses=PAUSES, handle_sigterm=False)
        job_hook.script("well", "silent")
        upload = asyncio.ensure_future(job.outputs.upload(BIG))
        assert await asyncio.to_thread(job_hook.wait_for_requests, 2)
        job._native.cancel("a test")
        with pytest.raises(JobCancelled, match="a test"):
            await upload
        # This thread was told, and may clean up.
        await job.outputs.upload(b"what is done", name="partial")
        await job.close()

    asyncio.run(main())
    assert [it.name for it in job_hook.outputs] == ["partial"]


def test_a_forked_child_has_no_files_of_its_parent(job_hook: FakeHook, run: Run) -> None:
    program = run("""
        import os
        from jobhook import Job, JobOver

        job = Job.from_env()
        job.outputs.upload(b"of the parent", name="a")
        if os.fork() == 0:
            try:
                job.outputs.upload(b"of the child", name="b")
            except JobOver as error:
                print(error.code, flush=True)
            own = Job.from_env()
            own.outputs.upload(b"of the child", name="c")
            own.close()
            os._exit(0)
        os.wait()
        job.outputs.upload(b"of the parent", name="d")
        job.close()
    """)
    assert program.line() == "job_forked"
    assert program.end() == (0, "")
    assert [it.name for it in job_hook.outputs] == ["a", "c", "d"]


def test_after_its_last_word_a_job_leaves_nothing(job_hook: FakeHook, job: Job) -> None:
    job_hook.add_input(b"x")
    job.report("SUCCESS").wait()
    with pytest.raises(Refused) as late:
        job.outputs.upload(b"late")
    assert (late.value.code, late.value.status) == ("already_final", 409)
    assert job_hook.outputs == []
    assert job.inputs[0].read() == b"x"


def test_what_the_server_calls_a_file_is_never_a_path(
    job_hook: FakeHook, job: Job, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("../out", "/etc/passwd", "..", "a/b", "C:\\x", "\0", "x" * 300):
        job_hook.add_input(name.encode(), name)
    for file in job.inputs:
        path = file.download(folder)
        assert os.path.dirname(path) == os.fspath(folder)
    assert leftovers(tmp_path) == ["in"]
    assert len(leftovers(folder)) == 7
