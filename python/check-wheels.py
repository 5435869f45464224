#!/usr/bin/env python3
"""Installs the release wheels as a user does, in every Python there is, and runs an action.

    ./just check-wheels

In a new environment for each Python: the package `jobhook` against its own hook for tests, then
`jobhook serve` from `jobhook-server`, and an action that is launched with the command line and
with the package, and reports with the package.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

ACTION = """
from jobhook import Job

with Job.from_env() as job:
    for word in job.progress(job.arguments["words"], desc="counting"):
        job.log(f"<{word}>")
    job.results = {"words": len(job.arguments["words"])}
"""

LAUNCHER = """
import sys
from jobhook import Launcher

launcher = Launcher(sys.argv[1])
action = launcher.launch("Count", {"words": ["a", "b"]})
action = launcher.wait(action.uuid, timeout=60)
assert (action.status, action.results) == ("SUCCESS", {"words": 2}), action
"""


def pythons() -> Iterator[tuple[str, Path]]:
    """Every supported Python of this machine, from the PATH or from pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for version in SUPPORTED:
        name = f"python{version}"
        found = [shutil.which(name), *sorted(versions.glob(f"{version}.*/bin/{name}"))]
        for program in filter(None, found):
            if runs(program):
                yield version, Path(program)
                break


def runs(program: str | Path) -> bool:
    """Whether it is a Python that can make environments, and not a stand-in for one."""
    asked = subprocess.run([program, "-c", "import ensurepip, venv"], capture_output=True)
    return asked.returncode == 0


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=BOUND_S, check=True, **options
    )
    return done.stdout


def audit(wheel: Path) -> None:
    """The programs in a wheel name no folder of the machine that built them."""
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if name.endswith(".so") or "/scripts/" in name:
                assert str(Path.home()).encode() + b"/" not in files.read(name), (wheel, name)


@contextmanager
def serving(jobhook: Path, folder: Path, python: Path) -> Iterator[str]:
    """A server on a free port. Gives its address, from the first line it prints."""
    (folder / "count.py").write_text(ACTION)
    (folder / "jobhook.toml").write_text(
        '[runners.python]\ntype = "LocalRunner"\nactions = ["Count"]\n'
        f'command = {json.dumps(str(python))}\nargs = ["count.py"]\n'
    )
    command = [jobhook, "serve", "--config", folder / "jobhook.toml"]
    command += ["--data-dir", folder / "data", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            first = server.stdout.readline()
            found = re.search(r"listening on (http://\S+)", first)
            assert found, f"the server did not start; it printed {first!r}"
            yield found[1]
        finally:
            server.terminate()
            server.wait(timeout=BOUND_S)


def check(python: Path, wheels: list[Path], folder: Path) -> None:
    run(python, "-m", "venv", folder / "env")
    programs = folder / "env" / "bin"
    pip = (programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--no-index", *wheels)
    # In a folder where no source lies, so that only what was installed is found.
    run(programs / "python", "-c", SMOKE, cwd=folder)
    version = run(programs / "jobhook", "--version")
    assert version.split() == ["jobhook", wheels[0].name.split("-")[1]], version

    with serving(programs / "jobhook", folder, programs / "python") as url:
        environment = os.environ | {"JOBHOOK_URL": url}
        launch = (programs / "jobhook", "launch", "Count", "--arguments", '{"words": ["a"]}')
        action = json.loads(run(*launch, "--wait", "--json", env=environment))
        assert (action["status"], action["results"]) == ("SUCCESS", {"words": 1}), action
        assert "<a>" in run(programs / "jobhook", "logs", action["uuid"], env=environment)
        run(programs / "python", "-c", LAUNCHER, url, cwd=folder)


def main(folder: Path) -> None:
    architecture = platform.machine()
    wheels = sorted(folder.glob(f"jobhook*-*manylinux2014_{architecture}*.whl"))
    names = [wheel.name.split("-")[0] for wheel in wheels]
    if names != ["jobhook", "jobhook_server"]:
        sys.exit(f"{folder} should hold one wheel of each and has {names}: ./just wheels")
    for wheel in wheels:
        audit(wheel)
    checked = []
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
    main(Path(sys.argv[1]))
