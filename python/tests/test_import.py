"""What `import jobhook` loads: a short job should not wait for what it does not use."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

import jobhook

# Each of these costs more than the whole of `import jobhook`.
SLOW = {"asyncio", "dataclasses", "inspect", "json", "logging", "ssl", "traceback", "typing"}


def loaded_by(code: str) -> set[str]:
    """The modules that a new interpreter has after `code`."""
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        # Not where the package lies as source, without what is written in Rust.
        cwd=tempfile.gettempdir(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return {*done.stdout.split()}


def test_the_import_loads_nothing_slow() -> None:
    loaded = loaded_by("import jobhook")
    assert "jobhook._jobhook" in loaded
    assert loaded & SLOW == set(), f"loaded without it: {sorted(loaded_by('pass') & SLOW)}"


def test_a_job_that_reads_no_arguments_and_meets_no_error_loads_nothing_slow() -> None:
    job = """
from jobhook import Job
from jobhook._jobhook import NativeHook
hook = NativeHook()
with Job.from_env(dict(hook.variables()), handle_sigterm=False) as job:
    for _ in job.progress(range(3)):
        job.log("a line")
    job.results = {"steps": 3}
assert hook.status() == "SUCCESS"
"""
    assert loaded_by(job) & SLOW == set()


@pytest.mark.parametrize("name", jobhook.__all__)
def test_every_name_can_be_had(name: str) -> None:
    assert getattr(jobhook, name) is not None
    assert name in dir(jobhook)


def test_what_needs_a_slow_module_is_loaded_when_it_is_used() -> None:
    later = loaded_by("import jobhook; jobhook.AsyncJob, jobhook.JobLogHandler, jobhook.Action")
    assert {"asyncio", "logging", "dataclasses"} <= later


def test_a_name_that_is_not_there_is_named() -> None:
    name = "Jobs"
    with pytest.raises(AttributeError, match="'jobhook' has no attribute 'Jobs'"):
        getattr(jobhook, name)
