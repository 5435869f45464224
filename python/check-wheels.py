#!/usr/bin/env python3
"""Installs the release wheels as a user does, in every Python there is, and runs an action.

    ./just check-wheels

In a new environment for each Python: the package `jobhook` against its own hook for tests, then
what the README begins with, its program, configuration and commands, and the same action launched
with the package.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
# Long enough for a slow machine under load; nothing waits for it to pass.
BOUND_S = 60

SMOKE = """
from jobhook import Job, send_status
from jobhook.testing import FakeHook

with FakeHook() as hook:
    hook.arguments = {"words": ["a", "b"]}
    assert send_status({"logs": ["first"]})["uuid"] == hook.environ["JOB_ID"]
    with Job.from_env() as job:
        for word in job.progress(job.arguments["words"]):
            job.log(word)
        job.results = {"words": 2}
    assert hook.lines == ["first", "a", "b"], hook.lines
    assert (hook.status, hook.results) == ("SUCCESS", {"words": 2}), hook.reports
"""

LAUNCHER = """
import sys
from jobhook import Launcher

launcher = Launcher(sys.argv[1])
action = launcher.launch("CountWords", {"paths": ["jobhook.toml"]})
action = launcher.wait(action.uuid, timeout=60)
assert (action.status, action.results) == ("SUCCESS", {"words": int(sys.argv[2])}), action
"""


def block(language: str) -> str:
    """The README's first block in a language."""
    return README.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def command(start: str) -> list[str]:
    """The README's first command that starts so, in words."""
    line = next(line for line in README.splitlines() if line.startswith(f"$ {start}"))
    return shlex.split(line.removeprefix("$ ").removesuffix(" &"))


def pythons() -> Iterator[tuple[str, Path]]:
    """Every supported Python of this machine, from the PATH or from pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for version in SUPPORTED:
        name = f"python{version}"
        on_path = shutil.which(name)
        found = [Path(on_path)] if on_path else []
        found += sorted(versions.glob(f"{version}.*/bin/{name}"))
        program = next(filter(runs, found), None)
        if program is not None:
            yield version, program


def runs(program: Path) -> bool:
    """Whether it is a Python that can make environments, and not a stand-in for one."""
    asked = subprocess.run(
        [program, "-c", "import ensurepip, venv"], check=False, capture_output=True
    )
    return asked.returncode == 0


class Place:
    """A folder with an environment in it, where commands run as a user types them."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        path = f"{folder / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path}
        self.run(str(python), "-m", "venv", "env")

    def run(self, *words: str) -> str:
        """What it prints. It must succeed."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self) -> Generator[str]:
        """The README's server, on a free port. Gives its address, from its first line."""
        serve = [*command("jobhook serve"), "--listen", "127.0.0.1:0", "--data-dir", "data"]
        with (
            (self.folder / "server.log").open("w") as log,
            subprocess.Popen(
                serve,
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as server,
        ):
            try:
                assert server.stdout is not None
                first = server.stdout.readline()
                found = re.search(r"listening on (http://\S+)", first)
                assert found, (first, (self.folder / "server.log").read_text())
                yield found[1]
            finally:
                server.terminate()
                server.wait(timeout=BOUND_S)


def audit(wheel: Path) -> None:
    """The programs in a wheel name no folder of the machine that built them."""
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if name.endswith(".so") or "/scripts/" in name:
                assert str(Path.home()).encode() + b"/" not in files.read(name), (wheel, name)


def check(python: Path, wheels: list[Path], folder: Path) -> None:
    # No source lies there, so only what was installed is found.
    place = Place(folder, python)
    pip = ("python3", "-m", "pip", "--quiet", "--disable-pip-version-check")
    place.run(*pip, "install", "--no-index", *map(str, wheels))
    place.run("python3", "-c", SMOKE)
    version = place.run("jobhook", "--version")
    assert version.split() == ["jobhook", wheels[0].name.split("-")[1]], version

    (folder / "count.py").write_text(block("python"))
    (folder / "jobhook.toml").write_text(block("toml"))
    words = [len((folder / name).read_text().split()) for name in ("count.py", "jobhook.toml")]
    with place.serving() as url:
        place.environment["JOBHOOK_URL"] = url
        uuid = place.run(*command("jobhook launch")).split()[0]
        action = json.loads(place.run("jobhook", "show", uuid, "--json"))
        assert (action["status"], action["results"]) == ("SUCCESS", {"words": sum(words)}), action
        assert f"count.py: {words[0]} words so far" in place.run("jobhook", "logs", uuid)
        place.run("python3", "-c", LAUNCHER, url, str(words[1]))


def main(folder: Path) -> None:
    architecture = platform.machine()
    wheels = sorted(folder.glob(f"jobhook*-*manylinux2014_{architecture}*.whl"))
    names = [wheel.name.split("-")[0] for wheel in wheels]
    if names != ["jobhook", "jobhook_server"]:
        sys.exit(f"{folder} should hold one wheel of each and has {names}: ./just wheels")
    for wheel in wheels:
        audit(wheel)
    checked: list[str] = []
    for version, python in pythons():
        with tempfile.TemporaryDirectory() as made:
            check(python, wheels, Path(made))
        print(f"Python {version}: ok", flush=True)
        checked.append(version)
    missing = [version for version in SUPPORTED if version not in checked]
    print(f"checked in {len(checked)}; not on this machine: {', '.join(missing) or 'none'}")
    if not checked:
        sys.exit("no supported Python with venv and ensurepip was found")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
