#!/usr/bin/env python3
"""Sorts the lines of the file that it is launched with, and leaves the sorted file.

You see: the results {"lines": ..., "sent": true}, and the sorted file among the action's outputs. The
file is offered once more at the end, and then nothing is sent: the server has it.

The point: files need no SDK either. A download is a signed GET, whose answer says where the bytes
are and what their MD5 is. An upload is a signed PUT with two MD5s, of the file and of `WEBDA` and
the file; the answer says where the bytes go, if they are wanted at all. The bytes themselves are never
signed: their address holds for this transfer only.

    pip install -r examples/python-requests/requirements.txt
    jobhook serve --config examples/jobhook.toml
    jobhook launch SortLines --file /etc/services --wait
    jobhook files ID --download out
"""

import hashlib
import hmac
import os
import sys
import tempfile
import time
from pathlib import Path

import requests

PIECE = 1 << 20


def ask(method: str, target: str, body: dict | None = None) -> dict:
    """Sends a signed request to the hook."""
    now = str(time.time_ns() // 1_000_000)
    key = os.environ["JOB_SECRET_KEY"].encode("latin-1")
    headers = {
        "X-Job-Id": os.environ["JOB_ID"],
        "X-Job-Time": now,
        "X-Job-Hash": hmac.new(key, now.encode(), hashlib.sha256).hexdigest(),
    }
    response = requests.request(
        method, os.environ["JOB_HOOK"] + target, json=body, headers=headers, timeout=30
    )
    response.raise_for_status()
    return response.json()


def download(target: str, path: Path) -> None:
    """Fetches a file in pieces, and compares what came."""
    answer = ask("GET", f"/download{target}")
    md5 = hashlib.md5()
    with requests.get(answer["Location"], stream=True, timeout=30) as response, path.open("wb") as file:
        response.raise_for_status()
        for piece in response.iter_content(PIECE):
            md5.update(piece)
            file.write(piece)
    if md5.hexdigest() != answer["Map"]["hash"]:
        sys.exit(f"other bytes came than {answer['Map']}")


def upload(target: str, path: Path, **fields: str) -> bool:
    """Leaves a file. Whether its bytes were sent, because the server did not have them."""
    md5, challenge = hashlib.md5(), hashlib.md5(b"WEBDA")
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            md5.update(piece)
            challenge.update(piece)
    sums = {"hash": md5.hexdigest(), "challenge": challenge.hexdigest()}
    answer = ask("PUT", f"/upload{target}", sums | fields)
    if answer["done"]:
        return False
    with path.open("rb") as file:
        requests.request(answer["method"], answer["url"], data=file, timeout=30).raise_for_status()
    return True


def main() -> None:
    own = f"/AsyncActions/{os.environ['JOB_ID']}"
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given"), Path(folder, "made")
        download(f"{own}/inputs/0", given)
        lines = sorted(given.read_bytes().splitlines(keepends=True))
        made.write_bytes(b"".join(lines))
        fields = {"name": "sorted.txt", "mimetype": "text/plain"}
        results = {"lines": len(lines), "sent": upload(f"{own}/outputs", made, **fields)}
        assert not upload(f"{own}/outputs", made, **fields), "it is there by now"
    ask("POST", "/status", {"status": "SUCCESS", "results": results})


if __name__ == "__main__":
    main()
