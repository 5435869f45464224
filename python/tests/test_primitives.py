"""The functions of the original's `job.py`: signatures, results, exceptions."""

from __future__ import annotations

import hashlib
import inspect
import os
import socket
import threading
from pathlib import Path

import pytest
from conftest import Run

import jobhook
from jobhook import (
    ContentMismatch,
    FileUnusable,
    InvalidEnvironment,
    InvalidSetting,
    Refused,
    ServerAway,
    UnexpectedAnswer,
)
from jobhook.testing import FakeHook


def test_a_script_written_for_the_original_runs_with_one_changed_import(
    job_hook: FakeHook, run: Run
) -> None:
    # It imported `from job import …`.
    program = run("""
        from jobhook import check_job, job_headers, send_status

        check_job()
        assert set(job_headers()) == {"X-Job-Id", "X-Job-Time", "X-Job-Hash"}
        print(send_status()["status"])
        print(send_status({"status": "RUNNING", "logs": ["a < b & c"]})["status"])
        print(send_status({"status": "SUCCESS", "results": {"words": 3}})["status"])
    """)
    assert [program.line() for _ in range(3)] == ["RUNNING", "RUNNING", "SUCCESS"]
    assert program.end() == (0, "")
    assert job_hook.lines == ["a < b & c"]
    assert job_hook.results == {"words": 3}


def test_the_signatures_are_those_of_the_original() -> None:
    assert [*inspect.signature(jobhook.check_job).parameters] == []
    assert [*inspect.signature(jobhook.job_headers).parameters] == []
    data = inspect.signature(jobhook.send_status).parameters["data"]
    assert data.default is None


def test_a_refusal_is_returned_as_in_the_original(job_hook: FakeHook) -> None:
    jobhook.send_status({"status": "SUCCESS"})
    refused = jobhook.send_status({"status": "RUNNING"})
    assert refused["code"] == "illegal_transition"


def test_a_body_that_no_server_takes_is_refused(job_hook: FakeHook) -> None:
    around = len('{"results": ""}')
    largest = "x" * ((10 << 20) - around)
    assert jobhook.send_status({"results": largest}).get("code") is None
    assert jobhook.send_status({"results": largest + "x"})["code"] == "body_too_large"
    assert len(job_hook.reports) == 1


@pytest.mark.usefixtures("job_hook")
def test_variables_are_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    jobhook.check_job()
    monkeypatch.delenv("JOB_HOOK")
    for call in (jobhook.check_job, jobhook.job_headers, jobhook.send_status):
        with pytest.raises(InvalidEnvironment, match="JOB_HOOK is not set"):
            call()


def test_another_hook_gets_another_connection(job_hook: FakeHook) -> None:
    jobhook.send_status({"logs": ["first"]})
    with FakeHook() as other:
        jobhook.send_status({"logs": ["second"]})
        assert other.lines == ["second"]
    jobhook.send_status({"logs": ["third"]})
    assert job_hook.lines == ["first", "third"]


def test_one_connection_is_kept(job_hook: FakeHook) -> None:
    for number in range(20):
        jobhook.send_status({"logs": [str(number)]})
    assert job_hook.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_costs_no_report(
    job_hook: FakeHook,
) -> None:
    for number in range(5):
        jobhook.send_status({"logs": [str(number)]})
        job_hook.go_away()
        job_hook.come_back()
    assert job_hook.lines == ["0", "1", "2", "3", "4"]


def test_a_server_that_is_away_is_an_error_of_the_connection(job_hook: FakeHook) -> None:
    job_hook.go_away()
    with pytest.raises(OSError, match="Connection refused") as raised:
        jobhook.send_status({"status": "RUNNING"})
    assert isinstance(raised.value, ServerAway)
    assert raised.value.code == "no_answer"
    assert os.environ["JOB_SECRET_KEY"] not in str(raised.value)


def test_an_answer_that_is_not_json_is_a_value_error(job_hook: FakeHook) -> None:
    job_hook.script(("web_page", 200), ("refuse", 503))
    with pytest.raises(ValueError, match=r"answered 200 .*not JSON") as raised:
        jobhook.send_status()
    assert isinstance(raised.value, UnexpectedAnswer)
    with pytest.raises(ValueError, match=r"answered 503 .*an empty body"):
        jobhook.send_status()


@pytest.mark.usefixtures("job_hook")
@pytest.mark.parametrize("data", [{"results": float("nan")}, {"results": {1, 2}}])
def test_data_that_is_not_json_is_refused_as_json_does(data: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        jobhook.send_status(data)


def test_what_the_original_takes_for_json_is_taken(job_hook: FakeHook) -> None:
    jobhook.send_status({"results": {1: "a", "t": (1, 2)}})
    assert job_hook.results == {"1": "a", "t": [1, 2]}


def test_threads_may_call_at_once(job_hook: FakeHook) -> None:
    def speak(name: int) -> None:
        for number in range(50):
            jobhook.send_status({"logs": [f"{name} {number}"]})

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in range(4):
        own = [line for line in job_hook.lines if line.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(50)]


def test_a_forked_child_speaks_on_its_own_connection(job_hook: FakeHook, run: Run) -> None:
    program = run("""
        import os
        from jobhook import send_status
        send_status({"logs": ["parent 1"]})
        pid = os.fork()
        if pid == 0:
            send_status({"logs": ["child"]})
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        send_status({"logs": ["parent 2"]})
    """)
    assert program.end() == (0, "")
    assert job_hook.lines == ["parent 1", "child", "parent 2"]
    assert job_hook.connections == 2


def test_ctrl_c_ends_a_wait_for_a_silent_server(job_hook: FakeHook, run: Run) -> None:
    import signal

    job_hook.behave("silent")
    program = run("""
        from jobhook import send_status
        print("sending", flush=True)
        send_status()
    """)
    assert program.line() == "sending"
    assert job_hook.wait_for_requests(1)
    program.signal(signal.SIGINT)
    code, stderr = program.end()
    assert code == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")


def test_a_hook_with_a_closed_port_is_named_in_the_error(
    job_hook: FakeHook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/async"
    monkeypatch.setenv("JOB_HOOK", address)
    with pytest.raises(ServerAway, match=f"cannot reach {address}/status"):
        jobhook.send_status()
    assert job_hook.requests == 0
    assert not any(tmp_path.iterdir())


def test_the_signatures_of_what_moves_files_are_those_of_the_original() -> None:
    download = inspect.signature(jobhook.download_from)
    assert [*download.parameters] == ["store", "uuid", "property", "index", "dirpath"]
    upload = inspect.signature(jobhook.upload_to)
    assert [*upload.parameters] == ["store", "uuid", "property", "filepath", "metadata"]
    assert upload.parameters["metadata"].default == {}


@pytest.mark.parametrize("attempt", ["1", None])
@pytest.mark.parametrize("content", [b"", b"one", bytes(range(256)) * 4096])
def test_files_are_moved_as_by_the_original_and_the_path_is_told_each_time(
    job_hook: FakeHook,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    attempt: str | None,
    content: bytes,
) -> None:
    if attempt is None:
        monkeypatch.delenv("JOB_ATTEMPT")
        job_hook.set_environ({k: v for k, v in job_hook.environ.items() if k != "JOB_ATTEMPT"})
    place = ("AsyncActions", "an-id", "outputs")
    path = tmp_path / "made.bin"
    path.write_bytes(content)
    assert jobhook.upload_to(*place, str(path), {"rows": 3}) == str(path)
    [file] = job_hook.files(*place)
    assert (file.bytes, file.name, file.metadata) == (content, None, {"rows": 3})
    folder = tmp_path / "in"
    folder.mkdir()
    wanted = str(folder / hashlib.md5(content).hexdigest())
    assert jobhook.download_from(*place, 0, str(folder)) == wanted
    assert Path(wanted).read_bytes() == content
    assert capsys.readouterr().out == ""
    # The second time nothing moves.
    assert jobhook.download_from(*place, 0, str(folder)) == wanted
    if attempt is None or len(content) < 1000:
        assert jobhook.upload_to(*place, str(path)) == str(path)
        assert capsys.readouterr().out == "Already downloaded\nAlready uploaded\n"
    assert [it.name for it in folder.iterdir()] == [Path(wanted).name]


def test_what_arrives_is_compared_before_it_has_its_name(
    job_hook: FakeHook, tmp_path: Path
) -> None:
    place = ("AsyncActions", "an-id", "inputs")
    job_hook.add_input(b"x" * 100_000, place=place)
    job_hook.script("well", "damage")
    with pytest.raises(ContentMismatch):
        jobhook.download_from(*place, 0, str(tmp_path))
    job_hook.script("well", ("cut_at", 50_000))
    with pytest.raises(ServerAway):
        jobhook.download_from(*place, 0, str(tmp_path))
    # A refusal is no file, as it was with the original.
    job_hook.script("well", ("refuse", 403))
    with pytest.raises(UnexpectedAnswer):
        jobhook.download_from(*place, 0, str(tmp_path))
    with pytest.raises(Refused) as refused:
        jobhook.download_from(*place, 1, str(tmp_path))
    assert refused.value.code == "file_not_found"
    for index in (-1, 2**63 - 1):
        with pytest.raises((InvalidSetting, Refused)):
            jobhook.download_from(*place, index, str(tmp_path))
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_not_there_is_not_uploaded(job_hook: FakeHook, tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="nowhere"):
        jobhook.upload_to("AsyncActions", "an-id", "outputs", str(tmp_path / "nowhere"))
    with pytest.raises(FileUnusable):
        jobhook.upload_to("AsyncActions", "an-id", "outputs", str(tmp_path))
    assert job_hook.requests == 0
