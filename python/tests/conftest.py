"""What several tests need: an action in a process of its own, and a real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from jobhook import Launcher, Refused
from jobhook.testing import FakeHook

# Long enough for a slow machine under load; nothing waits for it to pass.
BOUND_S = 60
# How much longer than usual the tests take that are about time; see `test_time.py`.
SCALE = float(os.environ.get("JOBHOOK_TEST_SCALE", "1"))


@contextmanager
def digits_up_to(most: int) -> Generator[None, None, None]:
    """How many digits a whole number may have that Python reads or writes meanwhile; 0 for any."""
    usual = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(most)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(usual)


class Program:
    """An action in a process of its own."""

    def __init__(self, hook: FakeHook, code: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=os.environ | hook.environ,
            # An empty one: Python looks for modules there first.
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it wrote to stderr."""
        _, stderr = self.process.communicate(timeout=BOUND_S * SCALE)
        return self.process.returncode, stderr

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


Run: TypeAlias = Callable[[str], Program]


def jobhook_program() -> str:
    """The program that serves; beside it lie the examples that are compiled."""
    program = os.environ.get("JOBHOOK_BIN") or shutil.which("jobhook")
    assert program, "no jobhook program: `./just test-python` builds it and sets JOBHOOK_BIN"
    return program


class Server:
    """A server of its own, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = jobhook_program()
        self.listen = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        command = [self.program, "serve", "--listen", self.listen]
        command += ["--config", str(self.folder / "jobhook.toml")]
        command += ["--data-dir", str(self.folder / "data")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"listening on (http://(\S+))", first)
        assert found, (first, (self.folder / "server.log").read_text())
        self.url, self.listen = found[1], found[2]
        self.launcher = Launcher(self.url)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        self.process.terminate()
        self._wait()

    def _wait(self) -> None:
        self.process.wait(timeout=BOUND_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def run(job_hook: FakeHook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a program as the job of `job_hook`."""
    started: list[Program] = []
    folder = tmp_path_factory.mktemp("program")

    def start(code: str) -> Program:
        started.append(Program(job_hook, code, folder))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


CONFIG = """
[runners.python]
type = "LocalRunner"
actions = ["Python"]
command = {python!r}
args = ["-c", "${{arguments.code}}"]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that runs the Python code in its actions' arguments."""
    config = CONFIG.format(python=sys.executable).replace("'", '"')
    (tmp_path / "jobhook.toml").write_text(config)
    server = Server(tmp_path)
    yield server
    if server.process.poll() is None:
        for action in server.launcher.list(status=["QUEUED", "STARTING", "RUNNING"]):
            with suppress(Refused):  # it may be over by now
                server.launcher.cancel(action.uuid)
            server.launcher.wait(action.uuid, timeout=BOUND_S)
    server.stop()
