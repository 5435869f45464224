#!/usr/bin/env python3
"""Counts the words of a file, as `wc -w` does, and reports on the way.

You see: the progress in lines, a log line for every 200 of them, then the results
{"path": ..., "lines": ..., "words": ...}. A file that is not there is an ERROR, with
the traceback in the log.

The point: the `with` block is all that makes a program an action. Leaving it is
SUCCESS, an exception is ERROR; arguments, progress, log and results are attributes.

    pip install jobhook        or, in a clone: ./just demo
    jobhook serve --config examples/jobhook.toml
    jobhook launch WordCountPython --arguments '{"path": "/etc/services"}' --follow
"""

import logging

from jobhook import Job, JobLogHandler

logger = logging.getLogger("word-count")


def main() -> None:
    with Job.from_env() as job:
        logging.basicConfig(level=logging.INFO, handlers=[JobLogHandler(job)])
        path = job.arguments["path"]
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()

        words = 0
        for number, line in enumerate(job.progress(lines, desc="counting"), start=1):
            words += len(line.split())
            if number % 200 == 0:
                logger.info("%d words in the first %d lines", words, number)

        job.results = {"path": path, "lines": len(lines), "words": words}


if __name__ == "__main__":
    main()
