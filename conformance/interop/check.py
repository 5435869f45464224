#!/usr/bin/env python3
"""Lets published versions of Webda start our clients, and checks what came of it.

Each version runs from .tools/interop/<version>, where `./just interop` installs it; its own
LocalRunner starts the clients. $JOBHOOK_BIN and $INTEROP_BIN are the `jobhook` program and
the Rust SDK's example `interop`. See README.md beside this file.
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
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


@contextmanager
def webda(version):
    folder = ROOT / ".tools" / "interop" / version
    process = subprocess.Popen(
        ["node", HERE / "server.mjs", folder, json.dumps(TYPES)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=folder,  # it leaves a file `.registry` there
    )
    server = Webda(process)
    server.last = {}
    try:
        server.wait(lambda: server.last.get("listening"))
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


def main() -> int:
    passed = failed = 0
    for version in VERSIONS:
        with webda(version) as server:
            for name, check in checks():
                server.errors.clear()
                try:
                    check(server)
                except Exception as error:
                    failed += 1
                    print(f"FAILED Webda {version}: {name}: {type(error).__name__}: {error}", flush=True)
                    print(*(f"       Webda: {line}" for line in server.errors), sep="\n", flush=True)
                else:
                    passed += 1
                    print(f"ok     Webda {version}: {name}", flush=True)
    print(f"interop: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
