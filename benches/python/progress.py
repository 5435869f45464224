"""A tight loop with and without `job.progress`, by turns; prints the seconds of each, a round a line.

progress.py ITEMS ROUNDS
"""

import sys
import time

from jobhook import Job


def with_progress(job, items):
    begin = time.perf_counter()
    for _ in job.progress(range(items), bar=False):
        pass
    return time.perf_counter() - begin


def without(items):
    begin = time.perf_counter()
    for _ in range(items):
        pass
    return time.perf_counter() - begin


def main(items, rounds):
    with Job.from_env() as job:
        for _ in range(rounds):
            print(with_progress(job, items), without(items))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
