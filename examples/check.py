#!/usr/bin/env python3
"""Launches every example through a real server and checks what came of it.

$JOBHOOK_BIN is the `jobhook` program to use (else the one on the PATH). The server
listens on a free port, keeps its data in a temporary folder and is stopped at the end.

    ./just examples                      all of them
    ./just test-jobpy /path/to/job.py    only a job.py of your own
"""

import argparse
import csv
import hashlib
import io
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BIN = shutil.which(os.environ.get("JOBHOOK_BIN", "jobhook")) or sys.exit(
    "no jobhook program: set JOBHOOK_BIN, or run `./just examples`, which builds it"
)
# The examples' own programs call `jobhook`, so its folder comes first.
ENVIRONMENT = os.environ | {"PATH": f"{Path(BIN).resolve().parent}:{os.environ['PATH']}"}
# Long enough for a slow machine under load; nothing here waits for it to pass.
BOUND_S = 60


@contextmanager
def server(data_dir, config="jobhook.toml"):
    """A server on a free port. Gives its address, from the first line it prints."""
    command = [
        BIN, "serve", "--config", HERE / config, "--data-dir", data_dir, "--listen", "127.0.0.1:0",
    ]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    lines = queue.SimpleQueue()

    def read_on():
        for line in process.stdout:
            lines.put(line)
        lines.put("")  # it has ended

    threading.Thread(target=read_on, daemon=True).start()
    try:
        first = lines.get(timeout=BOUND_S)
        found = re.search(r"listening on (http://\S+)", first)
        if not found:
            sys.exit(f"the server did not start; it printed {first!r}")
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=BOUND_S)


def jobhook(*arguments):
    return subprocess.run(
        [BIN, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=BOUND_S
    )


def launch(action_type, arguments=None, files=()):
    """Launches, waits, and returns (exit code, action, log lines)."""
    options = [] if arguments is None else ["--arguments", json.dumps(arguments)]
    for path in files:
        options += ["--file", path]
    done = jobhook("launch", action_type, *options, "--wait", "--json")
    try:
        action = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"launch printed no JSON: {done}") from None
    printed = jobhook("logs", action["uuid"], "--json").stdout
    return done.returncode, action, [json.loads(line) for line in printed.splitlines()]


def outputs(action, folder):
    """What an action left, by name."""
    with tempfile.TemporaryDirectory(dir=folder) as into:
        done = jobhook("files", action["uuid"], "--download", into)
        expect(done.returncode, 0)
        return {Path(path).name: Path(path).read_bytes() for path in done.stdout.splitlines()}


def expect(found, wanted):
    assert found == wanted, f"expected {wanted!r}, got {found!r}"


def texts(log, source):
    return [line["text"] for line in log if line["source"] == source]


PAGE = ROOT / "docs" / "protocol.md"


def words_of(page):
    """How many words `wc` counts."""
    environment = ENVIRONMENT | {"LC_ALL": "C.UTF-8"}
    with page.open() as text:
        counted = subprocess.run(["wc", "-w"], stdin=text, env=environment, capture_output=True)
    return int(counted.stdout)


def words_are_counted_as_wc_counts_them(_):
    code, action, log = launch("WordCount", {"path": str(PAGE)})
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(action["results"]["words"], words_of(PAGE))
    expect(action["statusDetails"]["progress"], 100)
    lines = texts(log, "job")
    expect(len(lines), 10)
    expect(sum(int(line.split()[-2]) for line in lines), action["results"]["words"])


def a_strange_path_and_an_unfinished_line_do_no_harm(folder):
    page = folder / 'a "strange" \\ name <é> & $(id).txt'
    page.write_text("one two\n\n\tthree < four &\nfive", encoding="utf-8")
    code, action, _ = launch("WordCount", {"path": str(page)})
    expect(code, 0)
    expect(action["results"], {"path": str(page), "lines": 4, "words": 7})


def an_empty_file_has_no_words(folder):
    page = folder / "empty.txt"
    page.touch()
    code, action, _ = launch("WordCount", {"path": str(page)})
    expect((code, action["results"]["words"]), (0, 0))


def a_file_that_is_not_there_is_an_error(folder):
    code, action, _ = launch("WordCount", {"path": str(folder / "nowhere")})
    expect((code, action["status"]), (1, "ERROR"))
    assert "not a readable file" in action["errorMessage"], action


def a_program_without_sdk_succeeds_with_exit_code_0(_):
    code, action, log = launch("CheckLinks", {"path": str(ROOT / "README.md")})
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(texts(log, "stdout")[-1], "0 missing")


def a_program_without_sdk_fails_with_exit_code_1(folder):
    page = folder / "page.md"
    page.write_text("[here](page.md) [gone](gone.md) [there](https://example.org/)\n")
    code, action, log = launch("CheckLinks", {"path": str(page)})
    expect((code, action["status"]), (1, "ERROR"))
    expect(
        texts(log, "stdout"), ["line 1: page.md is there", "line 1: gone.md IS MISSING", "1 missing"]
    )


def a_shell_script_reports_with_the_command_line(folder):
    wanted = []
    files = folder / "files"
    files.mkdir()
    for name in ("a b", "c<d&e"):
        (files / name).write_text(name)
        wanted.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}")
    digest = hashlib.sha256("".join(line + "\n" for line in wanted).encode()).hexdigest()
    code, action, log = launch("Checksums", {"path": str(files)})
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(texts(log, "job"), wanted)
    expect(action["results"], {"files": 2, "digest": digest})
    expect(action["statusDetails"]["progress"], 100)
    code, action, _ = launch("Checksums", {"path": str(folder / "nowhere")})
    expect((code, action["status"]), (1, "ERROR"))
    assert "cannot enter" in action["errorMessage"], action


def python_counts_the_words_of_its_input_and_leaves_a_table(folder):
    code, action, log = launch("WordCountPython", files=[PAGE])
    text = PAGE.read_text(encoding="utf-8")
    lines = text.count("\n")
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(action["results"], {"file": PAGE.name, "lines": lines, "words": words_of(PAGE)})
    expect(
        action["statusDetails"],
        {"progress": 100, "done": lines, "total": lines, "message": "counting"},
    )
    said = texts(log, "job")
    expect(len(said), lines // 200)
    for number, line in enumerate(said, start=1):
        assert line.startswith("INFO word-count: "), line
        assert line.endswith(f" words in the first {200 * number} lines"), line
    table = outputs(action, folder)["frequencies.csv"].decode()
    head, *rows = csv.reader(io.StringIO(table))
    expect(head, ["word", "count"])
    expect({word: int(count) for word, count in rows}, Counter(text.split()))


def python_ends_with_the_exception_of_the_program(_):
    code, action, log = launch("WordCountPython")
    expect((code, action["status"]), (1, "ERROR"))
    expect(action["errorName"], "IndexError")
    assert "there is no file 0" in action["errorMessage"], action
    expect(texts(log, "job")[0], "Traceback (most recent call last):")
    assert texts(log, "job")[-1].startswith("IndexError: "), log


def python_with_requests_speaks_profile_webda(_):
    lines = ["short", "if x<y: fail & stop", "<b>bold</b> — é 😀", ""]
    code, action, log = launch("LongestLine", {"lines": lines})
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(action["results"], {"line": "if x<y: fail & stop", "length": 19})
    expect(action["statusDetails"], {"done": 4, "total": 4})
    expect(texts(log, "job"), lines)


def python_with_requests_takes_a_file_and_leaves_one(folder):
    path = folder / "unsorted.bin"
    for content in (b"", b"b\na\n", os.urandom(1 << 20)):
        path.write_bytes(content)
        code, action, _ = launch("SortLines", files=[path])
        expect((code, action["status"]), (0, "SUCCESS"))
        lines = sorted(content.splitlines(keepends=True))
        # Only an empty file is the same when it is sorted.
        sent = b"".join(lines) != content
        expect(action["results"], {"lines": len(lines), "sent": sent})
        expect(outputs(action, folder), {"sorted.txt": b"".join(lines)})


def rust_counts_the_same_words(_):
    code, action, log = launch("WordCountRust", {"path": str(PAGE)})
    text = PAGE.read_bytes()
    lines = text.count(b"\n")
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(action["results"], {"path": str(PAGE), "lines": lines, "words": words_of(PAGE)})
    expect(
        action["statusDetails"],
        {"progress": 100, "done": len(text), "total": len(text), "message": "counting"},
    )
    said = texts(log, "job")
    expect(len(said), lines // 200)
    for number, line in enumerate(said, start=1):
        assert line.endswith(f" words in the first {200 * number} lines"), line


def rust_reports_the_error_of_the_program(folder):
    path = str(folder / "nowhere")
    code, action, log = launch("WordCountRust", {"path": path})
    expect((code, action["status"]), (1, "ERROR"))
    expect(action["errorName"], "CannotCount")
    message = f"cannot read {path}: No such file or directory (os error 2)"
    expect(action["errorMessage"], message)
    expect(texts(log, "stderr")[0], f"Error: cannot read {path}")
    saw = action["witness"]["saw"]
    assert "code 1" in saw, saw
    _, action, _ = launch("WordCountRust", {"paht": path})
    assert "unknown field `paht`" in action["errorMessage"], action


def rust_says_how_far_it_came_when_it_is_cancelled(folder):
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    opened, cancelled = threading.Event(), threading.Event()

    def feed():
        with suppress(BrokenPipeError), pipe.open("w") as file:
            opened.set()  # the job reads
            cancelled.wait(BOUND_S)
            while True:  # until it does no longer
                file.write("one more line\n")

    threading.Thread(target=feed, daemon=True).start()
    arguments = json.dumps({"path": str(pipe)})
    uuid = jobhook("launch", "WordCountRust", "--arguments", arguments).stdout.strip()
    assert opened.wait(BOUND_S), jobhook("show", uuid)
    jobhook("cancel", uuid)
    cancelled.set()
    printed = jobhook("logs", uuid, "--follow", "--json").stdout
    log = [json.loads(line) for line in printed.splitlines()]
    action = json.loads(jobhook("show", uuid, "--json").stdout)
    expect((action["status"], action["witness"]["said"]), ("CANCELLED", "ERROR"))
    last = texts(log, "stderr")[-1]
    assert re.fullmatch(r"Error: asked to stop after \d+ lines", last), log


def a_rust_operation_is_a_child_process(_):
    sales = [{"region": region, "cents": 100} for region in ("north", "south", "north")]
    code, action, log = launch("Report.Generate", {"sales": sales})
    expect((code, action["status"]), (0, "SUCCESS"))
    expect(action["results"], {"total": 300, "regions": {"north": 200, "south": 100}})
    expect(action["statusDetails"], {"progress": 100, "done": 3, "total": 3})
    expect(
        texts(log, "job"), ["INFO rust_operation: adding up sales=3", "north: 200", "south: 100"]
    )


PYTHON_OPERATION = HERE / "python-operation"
# Everything else is taken out of the environment; then the program itself.
AS_IN_AN_IMAGE = """
for name in $(env | cut -d= -f1); do
    case $name in JOB_*) ;; *) unset "$name" ;; esac
done
exec "$0" "$@"
"""


def operations_need_nothing_but_the_environment_of_a_job(folder):
    found = {name: shutil.which(name, path=ENVIRONMENT["PATH"]) for name in ("python3", "rust-operation")}
    groups = [{"name": "north", "amounts": [1, 2.5]}]
    programs = [
        ([found["rust-operation"]], {"sales": [{"region": "north", "cents": 350}]}, 350),
        ([found["python3"], str(PYTHON_OPERATION / "report.py")], {"title": "Sales", "groups": groups}, 3.5),
    ]
    usual = ENVIRONMENT["JOBHOOK_URL"]
    for program, given, total in programs:
        config = folder / "image.toml"
        config.write_text(
            "[runners.image]\ntype = 'LocalRunner'\nactions = ['Report.Generate']\ncommand = 'sh'\n"
            f"args = {json.dumps(['-c', AS_IN_AN_IMAGE, *program])}\n"
        )
        with server(folder / program[0].strip("/").replace("/", "-"), config) as address:
            ENVIRONMENT["JOBHOOK_URL"] = address
            try:
                code, action, log = launch("Report.Generate", given)
            finally:
                ENVIRONMENT["JOBHOOK_URL"] = usual
        assert (code, action["status"]) == (0, "SUCCESS"), [action, *log]
        expect(action["results"]["total"], total)


def python_prints_the_definitions_that_the_server_reads(_):
    command = ["python3", PYTHON_OPERATION / "report.py", "operations"]
    printed = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, check=True).stdout
    expect(printed, (PYTHON_OPERATION / "operations.json").read_bytes())


def a_python_operation_is_tested_without_a_server(_):
    command = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", PYTHON_OPERATION]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0 and "3 passed" in ran.stdout, ran


def launch_operation(given):
    """As `launch`; of what is refused, what was said."""
    done = jobhook(
        "launch", "--operation", "Report.Generate", "--input", json.dumps(given), "--wait", "--json"
    )
    try:
        action = json.loads(done.stdout)
    except ValueError:
        return done.returncode, done.stderr, []
    printed = jobhook("logs", action["uuid"], "--json").stdout
    return done.returncode, action, [json.loads(line) for line in printed.splitlines()]


def a_python_operation_is_launched_by_its_name(_):
    groups = [{"name": "north", "amounts": [1, 2.5]}, {"name": "south", "amounts": [4]}]
    given = {"title": "Sales", "groups": groups, "until": "2026-11-30", "format": "markdown"}
    code, action, log = launch_operation(given)
    expect((code, action["status"]), (0, "SUCCESS"))
    expect((action["operationId"], action["type"]), ("Report.Generate", "Report.Generate"))
    text = "# Sales, until 30 November 2026\nnorth: 3.50\nsouth: 4.00"
    expect(action["results"], {"text": text, "total": 7.5})
    expect(action["statusDetails"]["progress"], 100)
    expect(texts(log, "job"), ["north has 2 amounts", "south has 1 amounts"])


def a_python_operation_that_raises_is_an_error(_):
    groups = [{"name": "north", "amounts": []}]
    code, action, log = launch_operation({"title": "Sales", "groups": groups})
    expect((code, action["status"]), (1, "ERROR"))
    expect((action["errorName"], action["errorMessage"]), ("LookupError", "north has no amounts"))
    expect(texts(log, "job")[0], "Traceback (most recent call last):")


def input_that_does_not_fit_a_python_operation_is_refused(_):
    code, said, _ = launch_operation({"titel": "Sales", "groups": [{"name": 3, "amounts": [1]}]})
    assert code != 0 and "title" in said and "titel" in said and "/groups/0/name" in said, (code, said)
    expect(json.loads(jobhook("list", "--json", "--status", "QUEUED").stdout)["actions"], [])


OPERATION_CHECKS = [
    python_prints_the_definitions_that_the_server_reads,
    a_python_operation_is_tested_without_a_server,
    a_python_operation_is_launched_by_its_name,
    a_python_operation_that_raises_is_an_error,
    input_that_does_not_fit_a_python_operation_is_refused,
]


def until(seen, what, seconds=30):
    """What `seen` gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def scheduled(name):
    """The actions that a schedule launched and that have succeeded, newest first."""
    printed = jobhook("list", "--status", "SUCCESS", "--json").stdout
    return [it for it in json.loads(printed)["actions"] if it.get("schedule") == name]


def a_schedule_launches_an_action_each_second(_):
    actions = until(lambda: scheduled("every-second")[1:], "two actions of the schedule")
    log = jobhook("logs", actions[0]["uuid"]).stdout
    assert "tick of the example" in log, log


def a_paused_schedule_says_why_and_runs_by_hand(_):
    paused = jobhook("schedules", "pause", "nightly", "--note", "it is day")
    expect(paused.returncode, 0)
    shown = json.loads(jobhook("schedules", "show", "nightly", "--json").stdout)
    expect((shown["paused"]["by"], shown["paused"]["note"]), ("local", "it is day"))
    expect(scheduled("nightly"), [])
    uuid = jobhook("schedules", "run", "nightly").stdout.strip()
    action = until(lambda: scheduled("nightly"), "the action that was run by hand")[0]
    expect(action["uuid"], uuid)
    expect(jobhook("schedules", "resume", "nightly").returncode, 0)


def an_expression_that_never_fires_is_refused(_):
    done = jobhook("schedules", "preview", "--cron", "0 0 30 2 *")
    assert done.returncode != 0 and "never fires" in done.stderr, done


CRON_CHECKS = [
    a_schedule_launches_an_action_each_second,
    a_paused_schedule_says_why_and_runs_by_hand,
    an_expression_that_never_fires_is_refused,
]


def an_unmodified_job_py_works(path):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contents = [b"", b"one", os.urandom(3 << 20)]
        files = [folder / str(number) for number in range(len(contents))]
        for file, content in zip(files, contents):
            file.write_bytes(content)
        arguments = {"path": str(Path(path).resolve()), "files": len(files)}
        code, action, log = launch("JobPy", arguments, files)
        assert code == 0, [action, *log]
        left = json.loads(jobhook("files", action["uuid"], "--json", "--property", "outputs").stdout)
        sums = [hashlib.sha256(content[::-1]).hexdigest() for content in contents]
        found = [file for file in left["files"] if file["property"] == "outputs"]
        expect([file["sha256"] for file in found], sums)
        expect([file["metadata"] for file in found], [{"index": it} for it in range(len(files))])
        expect(sorted(outputs(action, folder).values()), sorted(it[::-1] for it in contents))
    # What is empty is the same in reverse: the server has it from the start.
    known = ["Already downloaded", "Already uploaded"]
    expect(texts(log, "stdout"), [*known, known[1], *known, *known])
    expect(texts(log, "job"), ["a < b && c > d", "<b>bold</b>"])
    expect(action["statusDetails"], {"step": "if x<y: fail & stop"})
    expect(action["results"], {"text": "if x<y: fail & stop"})


CHECKS = [
    words_are_counted_as_wc_counts_them,
    a_strange_path_and_an_unfinished_line_do_no_harm,
    an_empty_file_has_no_words,
    a_file_that_is_not_there_is_an_error,
    a_program_without_sdk_succeeds_with_exit_code_0,
    a_program_without_sdk_fails_with_exit_code_1,
    a_shell_script_reports_with_the_command_line,
    python_counts_the_words_of_its_input_and_leaves_a_table,
    python_ends_with_the_exception_of_the_program,
    python_with_requests_speaks_profile_webda,
    python_with_requests_takes_a_file_and_leaves_one,
    rust_counts_the_same_words,
    rust_reports_the_error_of_the_program,
    rust_says_how_far_it_came_when_it_is_cancelled,
    a_rust_operation_is_a_child_process,
    operations_need_nothing_but_the_environment_of_a_job,
]


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--job-py", help="check only this job.py")
    job_py = options.parse_args().job_py
    checks = [an_unmodified_job_py_works] if job_py else CHECKS

    runs = [("jobhook.toml", checks)]
    if not job_py:
        runs.append(("python-operation/jobhook.toml", OPERATION_CHECKS))
        runs.append(("cron/jobhook.toml", CRON_CHECKS))

    passed = failed = 0
    for config, checks in runs:
        with tempfile.TemporaryDirectory() as folder, server(Path(folder, "data"), config) as address:
            ENVIRONMENT["JOBHOOK_URL"] = address
            for check in checks:
                name = check.__name__.strip("_").replace("_", " ")
                try:
                    check(job_py or Path(folder))
                except Exception as error:
                    failed += 1
                    print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
                else:
                    passed += 1
                    print(f"ok     {name}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
