#!/usr/bin/env python3
"""Writes the test vectors of docs/protocol.md and docs/concepts/scheduling.md, from the documents and nothing else.

    python3 conformance/vectors/generate.py           write the six files
    python3 conformance/vectors/generate.py --check   compare; exit 1 with a diff

This is a second, independent reading of the protocol: standard library only (cron.json
also takes the time zones that the system has), no clock, no randomness, no code shared
with any implementation. An implementation
that agrees with the files agrees with the document. `--check` also looks up the
values of the worked examples in docs/protocol.md, so that the page cannot drift.
"""

import difflib
import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a check leaves the tree as it was

from cases.challenge import CHALLENGE, challenge_cases
from cases.cron import CRON, cron_cases
from cases.environment import ENVIRONMENT, environment_cases
from cases.keys import KEYS, key_cases
from cases.signature import SIGNATURE, signature_cases
from cases.signing import BODY, KEY, NONCE, TIME, headers, webda_hash
from cases.transitions import TRANSITIONS, transition_cases

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs" / "protocol.md"


def text_of(head, cases, one_line=False):
    """JSON in ASCII, so that no editor or font can hide a character."""
    if not one_line:
        return json.dumps(head | {"cases": cases}, indent=2) + "\n"
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    return json.dumps(head, indent=2)[:-2] + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"


def files():
    cases = {
        "signature.json": (SIGNATURE, signature_cases()),
        "keys.json": (KEYS, key_cases()),
        "transitions.json": (TRANSITIONS, transition_cases()),
        "environment.json": (ENVIRONMENT, environment_cases()),
        "cron.json": (CRON, cron_cases()),
        "challenge.json": (CHALLENGE, challenge_cases()),
    }
    for name, (_, listed) in cases.items():
        names = [case["name"] for case in listed]
        twice = {n for n in names if names.count(n) > 1}
        assert not twice, f"{name}: two cases are called {sorted(twice)}"
    return {name: text_of(*content, one_line=name in ("transitions.json", "cron.json")) for name, content in cases.items()}


def examples():
    """The values that docs/protocol.md shows in its worked examples."""
    sent = headers("v1")
    return {
        "the nonce": NONCE,
        "the key": KEY,
        "the webda hash": webda_hash(KEY, TIME),
        "the v1 hash": sent["X-Job-Hash"],
        "the body's SHA-256": hashlib.sha256(BODY).hexdigest(),
        "the v1 signature": sent["X-Job-Signature"],
        "the body": BODY.decode(),
    }


def check(wanted) -> int:
    failed = 0
    for name, text in wanted.items():
        path = HERE / name
        found = path.read_text() if path.exists() else ""
        if found != text:
            failed = 1
            sys.stdout.writelines(difflib.unified_diff(
                found.splitlines(keepends=True), text.splitlines(keepends=True), f"{name} (committed)", f"{name} (generated)"))
    document = DOCUMENT.read_text()
    for what, value in examples().items():
        if value not in document:
            failed = 1
            print(f"docs/protocol.md: {what} of the worked examples is not {value}")
    return failed


def main() -> int:
    wanted = files()
    if sys.argv[1:] == ["--check"]:
        return check(wanted)
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    for name, text in wanted.items():
        (HERE / name).write_text(text)
        print(f"{name}: {text.count(chr(34) + 'name' + chr(34) + ':')} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
