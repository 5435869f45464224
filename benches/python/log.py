"""Writes lines into its log as fast as it can: an action of the server under test.

Its results are the seconds that the calls took, and the seconds until every line was stored.
"""

import time

from jobhook import Job


def main():
    with Job.from_env() as job:
        count = job.arguments["lines"]
        begin = time.perf_counter()
        for number in range(count):
            job.log(f"this is line {number}, of an ordinary length, as a job writes it")
        called = time.perf_counter() - begin
        job.flush()
        job.results = {"called": called, "stored": time.perf_counter() - begin}


if __name__ == "__main__":
    main()
