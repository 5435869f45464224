"""The code in the documents, each block run as a program of its own.

A block stands as it is in the document. What the text around it says is there, is put before it:
`job`, `paths` and `resize`. Its job reports to a hook of the test, which has one file; what launches has a real server
with the examples' runners.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BOUND_S, Server

import jobhook
from jobhook.testing import FakeHook

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "docs/guides/python.md",
    "docs/guides/files.md",
    "docs/guides/migrate.md",
    "python/README.md",
]

PREAMBLE = """\
from jobhook import Job

paths = ["a.txt", "b.txt"]


def resize(path: str) -> None:
    pass


"""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The blocks of a page, each with its place."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield f"{page}:{text.count(chr(10), 0, found.start()) + 2}", found[1]


def program_of(block: str) -> str:
    """The block as a program."""
    if re.search(r"\bjob\b", block) and "from_env" not in block:
        return PREAMBLE + "with Job.from_env() as job:\n" + textwrap.indent(block, "    ")
    return PREAMBLE + block


BLOCKS = [it for page in PAGES for it in blocks(page)]
LAUNCHES = re.compile(r"Launcher\(\)")
RUNS = re.compile(r"jobhook\.run\(\)")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the examples."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
    path = os.environ["PATH"]
    # Where `python3` is the one that runs this test.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{path}"
    try:
        server = Server(folder)
    finally:
        os.environ["PATH"] = path
    yield server
    server.stop()


@pytest.mark.parametrize(("place", "block"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_a_block_runs(
    place: str, block: str, job_hook: FakeHook, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("three words here\n")
    job_hook.arguments = {"paths": ["a.txt", "b.txt"]}
    job_hook.add_input(b"three words here\n", "c.txt")
    if RUNS.search(block):
        job_hook.set_field("operationId", "Report.Generate")
        job_hook.arguments = {"title": "Sales", "rows": [{"name": "a", "amount": 2.5}]}
    environ = os.environ | job_hook.environ
    if LAUNCHES.search(block):
        environ["JOBHOOK_URL"] = request.getfixturevalue("examples").url

    program = tmp_path / "test_program.py"
    program.write_text(program_of(block), encoding="utf-8")
    is_test = "def test_" in block
    command = [sys.executable, *(["-m", "pytest", "-q"] if is_test else []), str(program)]
    ended = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert ended.returncode == 0, f"{place}\n{ended.stdout}{ended.stderr}"
    if RUNS.search(block):
        assert job_hook.results == {"path": "/srv/Sales.pdf", "total": 2.5}
    if LAUNCHES.search(block):
        assert "SUCCESS" in ended.stdout, f"{place}\n{ended.stdout}"


@pytest.mark.parametrize("page", ["docs/guides/python.md", "python/README.md"])
def test_a_page_begins_with_an_action_that_counts(
    page: str, job_hook: FakeHook, tmp_path: Path
) -> None:
    _, block = next(blocks(page))
    (tmp_path / "a.txt").write_text("three words here\n")
    job_hook.arguments = {"paths": ["a.txt"]}
    environ = os.environ | job_hook.environ
    command = [sys.executable, "-c", block]
    subprocess.run(command, cwd=tmp_path, env=environ, check=True, timeout=BOUND_S)
    assert list(job_hook.results.values()) == [3]
    assert job_hook.lines == ["a.txt: 3 words so far"]


def test_the_table_of_errors_has_every_exception_and_code() -> None:
    text = (ROOT / "docs/guides/python.md").read_text(encoding="utf-8")
    table = text.partition("\n## Errors\n")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", table, re.MULTILINE))
    exceptions = [
        it
        for it in vars(jobhook).values()
        if isinstance(it, type) and issubclass(it, BaseException) and it is not jobhook.JobhookError
    ]
    assert set(rows) == {it.__name__ for it in exceptions}
    for exception in exceptions:
        codes = re.findall(r"`([a-z0-9_]+)`", (exception.__doc__ or "").partition("Code")[2])
        for code in codes:
            assert f"`{code}`" in rows[exception.__name__], (exception, code)
