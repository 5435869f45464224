#!/usr/bin/env python3
"""Lets published versions of Webda start our clients, and checks what came of it.

Each version runs from .tools/interop/<version>, where `./just interop` installs it; its own
LocalRunner starts the clients. $JOBHOOK_BIN and $INTEROP_BIN are the `jobhook` program and
the Rust SDK's example `interop`. See README.md beside this file.
"""

import hashlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VERSIONS = ["3.0.1", "2.4.3"]
# Long enough for a slow machine under load; nothing here waits for it to pass.
BOUND_S = 120

# What is sent, and what Webda makes of it: its HTML sanitiser escapes `<` and `&`, removes
# what looks like a tag, and cuts off what looks like one that never ends.
SANITISED = {
    "a < b && c > d": "a &lt; b &amp;&amp; c &gt; d",
    "if x<y: fail & stop": "if x",
    "<b>bold</b>": "bold",
    "é — 😀": "é — 😀",
    "the longest of these lines, by far": "the longest of these lines, by far",
}
SENT, STORED = list(SANITISED), list(SANITISED.values())

# A client is a program that is told `work`, `fail` or `until-stopped` (see the Rust example),
# and gets its lines as the action's arguments or in $LINES_SENT. One more is one more entry.
# LocalRunner's children inherit nothing, so what they need is named here.
CLIENTS = {
    "the Rust SDK": {"command": os.environ["INTEROP_BIN"]},
    "the Python wheel": {
        "command": os.environ["INTEROP_PYTHON"],
        "args": [str(HERE / "clients" / "report.py")],
    },
    "job.py with one changed import": {
        "command": os.environ["INTEROP_PYTHON"],
        "args": [str(HERE / "clients" / "primitives.py")],
    },
    "the command line": {
        "command": str(HERE / "clients" / "report.sh"),
        "options": {
            "env": {
                "PATH": os.environ["PATH"],
                "JOBHOOK_BIN": os.environ["JOBHOOK_BIN"],
                "LINES_SENT": "\n".join(SENT),
            }
        },
    },
}
WAYS = ["work", "fail", "until-stopped"]
REFERENCE = {"command": sys.executable, "args": [str(ROOT / "examples/python-requests/longest-line.py")]}

# Programs whose operations Webda launches by name, from the file that `PROGRAM operations` prints.
# Each has `Interop.Choose` and `Interop.Fail`; 2.4.3 has no operations.
PROGRAMS = {
    "the Python wheel": [os.environ["INTEROP_PYTHON"], str(HERE / "clients" / "operations.py")],
}
OPERATION = "AsyncOperationAction"


def type_of(client, way):
    return "".join(word.capitalize() for word in re.findall(r"\w+", f"{client} {way}"))


TYPES = {
    type_of(client, way): {**program, "args": [*program.get("args", []), way]}
    for client, program in CLIENTS.items()
    for way in WAYS
} | {"Reference": REFERENCE}


class Webda:
    """A running application, see server.mjs; and what it told so far."""

    def __init__(self, process):
        self.process = process
        self.events = queue.SimpleQueue()
        self.histories = {}
        self.codes = {}
        self.errors = []
        threading.Thread(target=self._read_on, daemon=True).start()

    def _read_on(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put({"failed": "the server has ended"})

    def wait(self, known):
        """Takes in what the server tells until `known()` is something."""
        while not (found := known()):
            event = self.events.get(timeout=BOUND_S)
            if "failed" in event:
                self.events.put(event)
                raise AssertionError(event["failed"])
            if action := event.get("changed"):
                self.histories.setdefault(action["uuid"], []).append(action)
            if uuid := event.get("ended"):
                self.codes[uuid] = event
            if error := event.get("error"):
                self.errors.append(error)
            self.last = event
        return found

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)

    def launch(self, action_type, **fields):
        self.last = {}
        self.ask(launch=action_type, fields={"arguments": {"lines": SENT}, **fields})
        return self.wait(lambda: self.last.get("launched"))

    def end_of(self, uuid):
        """The client's exit code, and the action after each change."""
        event = self.wait(lambda: self.codes.get(uuid))
        return event["code"], self.histories[uuid]


    def operation(self, operation_id, given):
        """Launches it; the id of its action, which Webda does not tell the caller."""
        known = set(self.histories)
        status, _ = self.http("PUT", f"/async/{operation_id}?schedule=", given)
        expect(status, 204)
        return self.wait(lambda: next((uuid for uuid in self.histories if uuid not in known), None))

    def http(self, method, path, given=None):
        """Asks over HTTP: the status, and the answer's JSON."""
        request = urllib.request.Request(self.address + path, method=method)
        if given is not None:
            request.data = json.dumps(given).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, None


@contextmanager
def webda(version, types=TYPES, definitions="", files=""):
    folder = ROOT / ".tools" / "interop" / version
    command = ["node", HERE / "server.mjs", folder, json.dumps(types)]
    process = subprocess.Popen(
        [*command, definitions, files],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=folder,  # it leaves a file `.registry` there
    )
    server = Webda(process)
    server.last = {}
    try:
        server.address = server.wait(lambda: server.last.get("listening"))
        yield server
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=BOUND_S)
        except subprocess.TimeoutExpired:
            process.kill()


def expect(found, wanted):
    assert found == wanted, f"expected {wanted!r}, got {found!r}"


def statuses(history):
    """Each status once, in the order in which they came."""
    return list(dict.fromkeys(action["status"] for action in history))


def is_heard_out_from_running_to_its_results(server, client):
    code, history = server.end_of(server.launch(type_of(client, "work"), logs=[]))
    expect(code, 0)
    assert statuses(history)[-2:] == ["RUNNING", "SUCCESS"], statuses(history)
    last = history[-1]
    expect(last["logs"], STORED)
    expect(last["statusDetails"]["progress"], 100)
    expect(last["results"], {"lines": len(SENT), "last": STORED[-1]})


def fails_with_its_message(server, client):
    code, history = server.end_of(server.launch(type_of(client, "fail")))
    expect(code, 0)
    expect(statuses(history)[-1], "ERROR")
    expect(history[-1]["errorMessage"], STORED[0])


def hears_that_it_should_stop(server, client):
    uuid = server.launch(type_of(client, "until-stopped"))
    server.wait(lambda: any("statusDetails" in action for action in server.histories[uuid]))
    server.ask(stop=uuid)
    code, history = server.end_of(uuid)
    expect(code, 0)
    expect((history[-1]["status"], history[-1]["errorMessage"]), ("ERROR", "asked to stop"))


def ends_well_although_its_lines_are_refused(server, client):
    """An action launched without `logs` takes no lines: Webda answers 500."""
    code, history = server.end_of(server.launch(type_of(client, "work")))
    expect(code, 0)
    expect(statuses(history)[-1], "SUCCESS")
    assert "logs" not in history[-1], history[-1]
    expect(history[-1]["statusDetails"]["progress"], 100)
    expect(history[-1]["results"], {"lines": len(SENT), "last": STORED[-1]})


def the_reference_in_Python_succeeds(server):
    code, history = server.end_of(server.launch("Reference", logs=[]))
    expect(code, 0)
    assert statuses(history)[-2:] == ["RUNNING", "SUCCESS"], statuses(history)
    expect(history[-1]["logs"], STORED)
    expect(history[-1]["statusDetails"], {"done": len(SENT), "total": len(SENT)})
    expect(history[-1]["results"], {"line": SENT[-1], "length": len(SENT[-1])})


def the_reference_in_Python_hears_that_it_should_stop(server):
    code, history = server.end_of(server.launch("Reference", logs=[], action="STOP"))
    expect(code, 1)
    expect((statuses(history)[-1], history[-1]["logs"]), ("RUNNING", []))


@contextmanager
def webda_with_operations(version, program):
    """Webda with the operations of a program, and the definitions that it printed."""
    printed = subprocess.run([*program, "operations"], stdout=subprocess.PIPE, check=True).stdout
    runner = {"command": program[0], "args": program[1:]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "operations.json")
        path.write_bytes(printed)
        with webda(version, {OPERATION: runner}, str(path)) as server:
            yield server, json.loads(printed)


INPUT = {
    "lines": ["short", "the longest of these", "é — 😀"],
    "order": "longest",
    "chapters": [{"title": "one", "below": [{"title": "two"}]}],
    "at": "2026-11-24T16:00:00Z",
    "day": "2026-11-24",
    "key": "6f0f8f1e-6b0c-4a6c-9f3e-111111111111",
    "pair": [2, "b"],
    "shares": {"a": 0.5},
    "mode": "slow",
}


def without_nulls(value):
    """As Webda answers: it leaves out what is null."""
    if isinstance(value, dict):
        return {name: without_nulls(it) for name, it in value.items() if it is not None}
    return [without_nulls(it) for it in value] if isinstance(value, list) else value


def operations_are_listed_as_they_were_printed(server, definitions):
    expect(server.http("GET", "/async?full=true"), (200, without_nulls(definitions)))


def an_operation_is_launched_by_name_and_succeeds(server, _):
    for given, depth in ((INPUT, 2), ({"lines": INPUT["lines"]}, 0)):
        code, history = server.end_of(server.operation("Interop.Choose", given))
        expect((code, history[-1]["status"]), (0, "SUCCESS"))
        expect(history[-1]["operationId"], "Interop.Choose")
        results = {"lines": 3, "chosen": "the longest of these", "depth": depth}
        expect(history[-1]["results"], results)
        expect(history[-1]["statusDetails"]["progress"], 100)


def an_operation_that_fails_ends_with_its_message(server, _):
    code, history = server.end_of(server.operation("Interop.Fail", "paper"))
    expect((code, history[-1]["status"]), (1, "ERROR"))
    expect(history[-1]["errorMessage"], "there is no paper")


def input_that_does_not_fit_is_not_launched(server, _):
    known = set(server.histories)
    for given in ({}, {"lines": [1]}, INPUT | {"other": 1}, INPUT | {"pair": [1]}, []):
        expect(server.http("PUT", "/async/Interop.Choose?schedule=", given), (400, None))
    # What was stored before is known once this is.
    server.end_of(server.operation("Interop.Fail", "paper"))
    expect(len(server.histories), len(known) + 1)


OPERATION_CHECKS = [
    operations_are_listed_as_they_were_printed,
    an_operation_is_launched_by_name_and_succeeds,
    an_operation_that_fails_ends_with_its_message,
    input_that_does_not_fit_is_not_launched,
]


# Programs that leave files and take them. Only 2.4.3 can: 3.0.1 answers 500 to both requests.
MOVERS = {
    name: {
        "command": os.environ["INTEROP_PYTHON"],
        "args": [str(HERE / "clients" / "files.py"), way],
    }
    for name, way in {"TheWheel": "the-wheel", "TheFunctionsOfJobPy": "functions"}.items()
}


def files_go_there_and_come_back(server, name, folder):
    code, history = server.end_of(server.launch(name, logs=[]))
    expect((code, history[-1]["status"]), (0, "SUCCESS"))
    entries = history[-1]["outputs"]
    expect([entry["metadata"] for entry in entries], [{"number": it} for it in range(3)])
    # What Webda keeps, byte by byte.
    kept = [Path(folder, entry["hash"], "data").read_bytes() for entry in entries]
    expect([hashlib.sha256(content).hexdigest() for content in kept], history[-1]["results"])


def file_check(name, folder):
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
    return (
        f"{words}: {files_go_there_and_come_back.__name__.replace('_', ' ')}",
        lambda server: files_go_there_and_come_back(server, name, folder),
    )


def checks():
    """(the sentence that holds, what to call)"""
    for client in CLIENTS:
        for check in (
            is_heard_out_from_running_to_its_results,
            fails_with_its_message,
            hears_that_it_should_stop,
            ends_well_although_its_lines_are_refused,
        ):
            yield (
                f"{client} {check.__name__.replace('_', ' ')}",
                lambda server, check=check, client=client: check(server, client),
            )
    for check in (the_reference_in_Python_succeeds, the_reference_in_Python_hears_that_it_should_stop):
        yield check.__name__.replace("_", " "), check


def run(title, server, named_checks, *more):
    """How many passed, and how many failed."""
    passed = failed = 0
    for name, check in named_checks:
        server.errors.clear()
        try:
            check(server, *more)
        except Exception as error:
            failed += 1
            print(f"FAILED {title}: {name}: {type(error).__name__}: {error}", flush=True)
            print(*(f"       Webda: {line}" for line in server.errors), sep="\n", flush=True)
        else:
            passed += 1
            print(f"ok     {title}: {name}", flush=True)
    return passed, failed


def main() -> int:
    counts = []
    for version in VERSIONS:
        with webda(version) as server:
            counts.append(run(f"Webda {version}", server, checks()))
    for program, command in PROGRAMS.items():
        with webda_with_operations(VERSIONS[0], command) as (server, definitions):
            named = [(check.__name__.replace("_", " "), check) for check in OPERATION_CHECKS]
            counts.append(run(f"Webda {VERSIONS[0]}, {program}", server, named, definitions))
    with tempfile.TemporaryDirectory() as folder:
        # One server each: the same contents are not sent twice to one.
        for name, program in MOVERS.items():
            files = Path(folder, name)
            with webda("2.4.3", {name: program}, files=str(files)) as server:
                counts.append(run("Webda 2.4.3", server, [file_check(name, files)]))
    passed, failed = map(sum, zip(*counts))
    print(f"interop: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
