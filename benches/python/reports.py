"""Sends reports in a row; prints the seconds and the peak of its memory (KiB).

    reports.py jobhook|job|FILE COUNT

`jobhook` calls the wheel's `send_status`, `job` its `Job.report`, a file that file's `send_status`.
"""

import sys
import time


def module_of(path):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("job", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(step):
    return {"status": "RUNNING", "statusDetails": {"step": step}, "logs": [f"step {step} is done"]}


def in_a_row(send_status, count):
    send_status(report(0))  # what is made once is not counted
    begin = time.perf_counter()
    for step in range(count):
        answer = send_status(report(step))
    seconds = time.perf_counter() - begin
    assert answer["status"] == "RUNNING", answer
    return seconds


def through_job(count):
    from jobhook import Job

    with Job.from_env() as job:
        begin = time.perf_counter()
        for step in range(count):
            job.report("RUNNING", details={"step": step}, logs=[f"step {step} is done"])
        job.flush()
        return time.perf_counter() - begin


def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def main(what, count):
    if what == "job":
        seconds = through_job(count)
    elif what == "jobhook":
        from jobhook import send_status

        seconds = in_a_row(send_status, count)
    elif what == "nothing":
        seconds = 0
    else:
        seconds = in_a_row(module_of(what).send_status, count)
    print(seconds, peak_kib())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
