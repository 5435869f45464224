"""Leaves files with its action and takes them back, and compares: see ../README.md.

The first argument picks with what: `the-wheel`, or the `functions` of the original's `job.py`.
"""

import hashlib
import io
import os
import sys
import tempfile
from pathlib import Path

from jobhook import Job, download_from, send_status, upload_to

# More than is sent at once, and no text.
BIG = bytes(range(256)) * (3 * 4096) + b"the end"
CONTENTS = [b"", b"one", BIG]
SUMS = [hashlib.sha256(content).hexdigest() for content in CONTENTS]


def with_the_wheel(folder):
    with Job.from_env() as job:
        for number, content in enumerate(CONTENTS):
            path = folder / f"made {number}"
            path.write_bytes(content)
            left = job.outputs.upload(path, mimetype="text/csv", metadata={"number": number})
            assert not left.already, left
            # Its bytes and a file object are the same content, which is not sent again.
            assert job.outputs.upload(content, name=path.name).already
            assert job.outputs.upload(io.BytesIO(content), name=path.name).already
        assert len(job.outputs) == len(CONTENTS)
        assert len(job.inputs) == 0
        for content, file in zip(CONTENTS, job.outputs, strict=True):
            info = file.info()
            assert info.md5 == hashlib.md5(content).hexdigest(), info
            assert (info.mimetype, info.metadata) == ("text/csv", {"number": file.index}), info
            assert file.read() == content
            assert file.download(folder / "back").read_bytes() == content
        job.results = SUMS


def with_functions(folder):
    place = "AsyncActions", os.environ["JOB_ID"], "outputs"
    into = folder / "into"
    into.mkdir()
    for number, content in enumerate(CONTENTS):
        path = folder / str(number)
        path.write_bytes(content)
        for _ in range(2):
            assert upload_to(*place, str(path), {"number": number}) == str(path)
            back = download_from(*place, number, str(into))
            assert Path(back).name == hashlib.md5(content).hexdigest()
            assert Path(back).read_bytes() == content
    assert len([*into.iterdir()]) == len(CONTENTS)
    send_status({"status": "SUCCESS", "results": SUMS})


with tempfile.TemporaryDirectory() as name:
    match sys.argv[1]:
        case "the-wheel":
            with_the_wheel(Path(name))
        case "functions":
            with_functions(Path(name))
