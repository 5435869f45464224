"""What a job says, with the functions of the original's `job.py`: see ../README.md."""

import sys
from itertools import count

from jobhook import check_job, job_headers, send_status

check_job()
assert set(job_headers()) == {"X-Job-Id", "X-Job-Time", "X-Job-Hash"}
lines = send_status({"status": "RUNNING", "statusDetails": {"message": "counting"}})["arguments"]["lines"]
match sys.argv[1]:
    case "fail":
        send_status({"status": "ERROR", "errorMessage": lines[0]})
    case "until-stopped":
        for said in count(1):
            if send_status({"statusDetails": {"done": said}}).get("action") == "STOP":
                break
        send_status({"status": "ERROR", "errorMessage": "asked to stop"})
    case "work":
        try:
            send_status({"logs": lines})
        except ValueError:
            # The original answers 500 and nothing else where it takes no lines.
            print("the lines were not taken", file=sys.stderr)
        send_status({"statusDetails": {"progress": 100}})
        send_status({"status": "SUCCESS", "results": {"lines": len(lines), "last": lines[-1]}})
