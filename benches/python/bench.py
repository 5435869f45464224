"""What the wheel costs a program in Python, each figure beside its limit from the same run.

    ./just bench-python [PATH/TO/job.py] [--only PART]

Runs in an environment that has the release wheels `jobhook` and `jobhook-server`, and `requests`.
The path is a job.py that was written for Webda; without it `with_requests.py`, which does the
same, takes its place. Method and figures are in benches/README.md. Nothing is asserted but that
the work was done: who reads the figures judges them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
PARTS = ("import", "send-status", "progress", "log", "memory", "files")


def python(*arguments, **options):
    """What a program printed, in words. It starts in a folder without any source."""
    command = [sys.executable, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, check=True, text=True, **options
        )
    return [float(word) for word in done.stdout.split()]


@contextmanager
def one_processor():
    """What is started in this block runs on one processor, and so do its children."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


@contextmanager
def sink(benches):
    """Something that answers every report. Gives the variables of a job that reports to it."""
    with subprocess.Popen([benches, "sink"], stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        try:
            yield os.environ | {
                "JOB_ID": "0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234",
                "JOB_SECRET_KEY": "bench",
                "JOB_HOOK": f"http://127.0.0.1:{port}/async",
                "JOB_ATTEMPT": "1",
            }
        finally:
            process.kill()


@contextmanager
def server():
    """The server of the wheel, as a user starts it. Gives its address."""
    jobhook = Path(sys.executable).parent / "jobhook"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "jobhook.toml").write_text(
            "[files]\nmin_free = 0\n"
            + "".join(
                f'[runners.{name.lower()}]\ntype = "LocalRunner"\nactions = ["{name}"]\n'
                f"command = {json.dumps(sys.executable)}\n"
                f"args = [{json.dumps(str(HERE / f'{name.lower()}.py'))}]\n"
                for name in ("Log", "Files")
            )
        )
        command = [jobhook, "serve", "--config", folder / "jobhook.toml"]
        command += ["--data-dir", folder / "data", "--listen", "127.0.0.1:0"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            first = process.stdout.readline()
            try:
                yield re.search(r"listening on (http://\S+)", first)[1]
            finally:
                process.terminate()


def measure_import(arguments):
    rounds = 40
    seconds = {"pass": [], "import jobhook": [], "import requests": []}
    for number in range(rounds + 1):
        for code, taken in seconds.items():
            begin = time.perf_counter()
            python("-c", code)
            # The first round compiles what is imported.
            if number > 0:
                taken.append(time.perf_counter() - begin)
    start, jobhook, requests = (median(taken) * 1e3 for taken in seconds.values())
    print(
        f"import, median of {rounds} by turns: interpreter {start:.1f} ms; "
        f"jobhook {jobhook - start:.1f} ms more, requests {requests - start:.1f} ms more: "
        f"1/{(requests - start) / (jobhook - start):.1f} (wanted at most 1/8)"
    )


def measure_send_status(arguments):
    # What is measured is the calls, not how long a processor that has gone idle takes to wake up,
    # which is most of it where each end has its own. So both ends share one; and once they do not.
    with one_processor():
        send_status("on one processor", arguments)
    send_status("where the machine puts them", arguments)


def send_status(where, arguments):
    # About as long for both: what else the machine does should meet them alike.
    our_count, their_count, rounds, ratios = 20_000, 2_000, 5, []
    reports, original = HERE / "reports.py", arguments.original
    with sink(arguments.benches) as environment:
        for number in range(1, rounds + 1):
            ours = our_count / python(reports, "jobhook", our_count, env=environment)[0]
            theirs = their_count / python(reports, original, their_count, env=environment)[0]
            ratios.append(ours / theirs)
            print(
                f"send_status {number}, both ends {where}: jobhook {ours:.0f}/s, "
                f"requests {theirs:.0f}/s, {ratios[-1]:.1f} times"
            )
    print(f"send_status, both ends {where}: median {median(ratios):.1f} times (wanted at least 8)")


def measure_progress(arguments):
    items, rounds = 5_000_000, 5
    with sink(arguments.benches) as environment:
        seconds = python(HERE / "progress.py", items, rounds, env=environment)
    costs = [
        (ours - bare) / items * 1e9 for ours, bare in zip(seconds[::2], seconds[1::2], strict=True)
    ]
    bare = median(seconds[1::2]) / items * 1e9
    print(
        f"progress, {rounds} times {items} items: {median(costs):.0f} ns of the processor an item "
        f"({', '.join(f'{cost:.0f}' for cost in costs)}), "
        f"beside {bare:.0f} ns of the bare loop (wanted at most 150)"
    )


def measure_log(arguments):
    from jobhook import Launcher

    lines, rounds, rates = 50_000, 5, []
    with server() as url:
        launcher = Launcher(url)
        for number in range(1, rounds + 1):
            launched = launcher.launch("Log", {"lines": lines})
            action = launcher.wait(launched.uuid, timeout=120)
            assert action.status == "SUCCESS", action
            # All of them are there, in order.
            assert action.lines == lines, action
            for number_of, line in enumerate(launcher.lines(action.uuid)):
                assert line.text.startswith(f"this is line {number_of},"), line
            called, stored = action.results["called"], action.results["stored"]
            rates.append(lines / called)
            print(
                f"log {number}: {lines} calls in {called:.3f} s, {lines / called:.0f}/s; "
                f"all stored after {stored:.3f} s, and counted"
            )
    print(f"log: median {median(rates):.0f} lines/s (wanted at least 200,000)")


def measure_memory(arguments):
    count = 1000
    with sink(arguments.benches) as environment:
        peaks = {
            what: python(HERE / "reports.py", what, count, env=environment)[1]
            for what in ("nothing", "jobhook", "job", arguments.original)
        }
    bare, ours, job, theirs = (peak / 1024 for peak in peaks.values())
    print(
        f"memory at its peak after {count} reports: {ours:.1f} MiB with send_status of jobhook, "
        f"{job:.1f} MiB with Job.report, {theirs:.1f} MiB with requests; "
        f"{bare:.1f} MiB of them are the interpreter"
    )


def measure_files(arguments):
    from jobhook import Grant, Launcher

    size, rounds, original = 1 << 30, 3, str(arguments.original)
    ratios = {"one-pass": [], "classic": [], "classic to requests": [], "download": []}
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "big")
        piece = os.urandom(1 << 20)
        with path.open("wb") as file:
            for _ in range(size >> 20):
                file.write(piece)
        for number in range(1, rounds + 1):
            sums = subprocess.check_output([arguments.benches, "sums"], text=True)
            md5, sha256 = map(float, sums.split())
            # A new one, or all contents would be kept until the end.
            with server() as url:
                launcher = Launcher(url)

                def rate(way, **others):
                    """MiB a second of a job, and its id."""
                    # Nobody pays for what another has left to be written.
                    os.sync()
                    grants = [Grant("actions", others["uuid"], "outputs")] if "uuid" in others else []
                    action = launcher.launch("Files", {"way": way, **others}, grants=grants)
                    action = launcher.wait(action.uuid, timeout=600)
                    assert action.status == "SUCCESS", (action, [*launcher.lines(action.uuid)])
                    peaks[way] = max(peaks.get(way, 0), action.results["peak_kib"])
                    return (size >> 20) / action.results["seconds"], action.uuid

                def up(way, **others):
                    # Of what a server has, nothing would be sent.
                    with path.open("r+b") as file:
                        file.write(os.urandom(16))
                    found, uuid = rate(way, path=str(path), **others)
                    [left] = launcher.files(uuid)
                    assert left.size == size, left
                    return found, uuid

                one_pass, uuid = up("one-pass")
                classic, _ = up("classic")
                theirs, _ = up("upload_to", original=original)
                down, _ = rate("download", uuid=uuid)
                their_down, _ = rate("download_from", uuid=uuid, original=original)
            ratios["one-pass"].append(one_pass / md5)
            ratios["classic"].append(classic / md5)
            ratios["classic to requests"].append(classic / theirs)
            ratios["download"].append(down / sha256)
            print(
                f"files {number}, 1 GiB, MiB/s: up in one pass {one_pass:.0f}, by hashes {classic:.0f}, "
                f"with requests {theirs:.0f}; down {down:.0f}, with requests {their_down:.0f}; "
                f"one stream of MD5 {md5:.0f}, of SHA-256 {sha256:.0f}",
                flush=True,
            )
    found = {name: median(values) for name, values in ratios.items()}
    print(
        f"files, medians: one pass {found['one-pass']:.2f} of MD5 (wanted at least 0.5), "
        f"by hashes {found['classic']:.2f} (0.3) and {found['classic to requests']:.2f} of requests (1.2), "
        f"down {found['download']:.2f} of SHA-256 (0.5)"
    )
    told = ", ".join(f"{way} {peak / 1024:.1f}" for way, peak in peaks.items())
    print(f"files, memory at its peak, MiB: {told}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("original", nargs="?", type=Path, default=HERE / "with_requests.py")
    parser.add_argument("--benches", type=Path, required=True, help="the program jobhook-benches")
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    arguments.original = arguments.original.resolve()
    for part in PARTS:
        if arguments.only in (None, part):
            globals()["measure_" + part.replace("-", "_")](arguments)


if __name__ == "__main__":
    main()
