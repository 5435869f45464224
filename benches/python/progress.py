"""A tight loop with and without `job.progress`, by turns; prints the seconds of each.

    progress.py ITEMS ROUNDS

Seconds of the processor, of all threads: the one that reports counts too, and other programs do not.
"""

import sys
import time

from jobhook import Job


def with_progress(job, items):
    begin = time.process_time()
    for _ in job.progress(range(items), bar=False):
        pass
    return time.process_time() - begin


def without(items):
    begin = time.process_time()
    for _ in range(items):
        pass
    return time.process_time() - begin


def main(items, rounds):
    with Job.from_env() as job:
        for _ in range(rounds):
            print(with_progress(job, items), without(items))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
