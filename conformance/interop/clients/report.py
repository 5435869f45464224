"""What a job says, with the wheel: see ../README.md. The first argument picks what it does."""

import sys
from itertools import count

from jobhook import Job, JobCancelled

# Without a heartbeat a job of the original's profile only hears STOP when it says something.
with Job.from_env() as job:
    lines = job.arguments["lines"]
    match sys.argv[1]:
        case "fail":
            job.report(error_name="Refused", error_message=lines[0])
        case "until-stopped":
            try:
                for said in count(1):
                    job.set_progress(said)
                    job.flush()
            except JobCancelled:
                job.report(error_name="Cancelled", error_message="asked to stop")
        case "work":
            for line in job.progress(lines, desc="counting"):
                job.log(line)
            job.results = {"lines": len(lines), "last": lines[-1]}
