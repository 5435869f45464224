"""A job that moves a big file, and reports the seconds and the peak of its memory (KiB).

Its arguments are the `way`: `one-pass` and `classic` leave the file `path` with the wheel, the latter as a server
of the original has it; `download` takes the first output of the action `uuid`; `upload_to` and
`download_from` do the same with the functions of the file `original`.
"""

import os
import tempfile
import time

from jobhook import Job
from reports import module_of, peak_kib


def move(job, way, path=None, uuid=None, original=None):
    """How long it took."""
    if way in ("upload_to", "download_from"):
        functions = module_of(original)
        place = ("AsyncActions", uuid or job.id, "outputs")
    elif way == "classic":
        environ = {name: value for name, value in os.environ.items() if name != "JOB_ATTEMPT"}
        classic = Job.from_env(environ, handle_sigterm=False)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        match way:
            case "one-pass":
                job.outputs.upload(path)
            case "classic":
                classic.outputs.upload(path)
            case "download":
                job.files("actions", uuid, "outputs")[0].download(folder)
            case "upload_to":
                functions.upload_to(*place, path)
            case "download_from":
                functions.download_from(*place, 0, folder)
        return time.perf_counter() - begin


with Job.from_env() as job:
    seconds = move(job, **job.arguments)
    job.results = {"seconds": seconds, "peak_kib": peak_kib()}
