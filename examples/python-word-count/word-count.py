#!/usr/bin/env python3
"""Counts the words of the file that it is launched with, as `wc -w` does, and leaves a table.

You see: the progress in lines, a log line for every 200 of them, then the results
{"file": ..., "lines": ..., "words": ...}. Among the action's outputs is `frequencies.csv`, each word
with how often it came, the commonest first. Launched without a file it is an ERROR, with the traceback in
the log.

The point: the `with` block is all that makes a program an action. Leaving it is SUCCESS, an
exception is ERROR; its files, progress, log and results are attributes of the job.

    pip install jobhook        or, in a clone: ./just demo
    jobhook serve --config examples/jobhook.toml
    jobhook launch WordCountPython --file /etc/services --follow
    jobhook files ID --download out
"""

import csv
import io
import logging
import tempfile
from collections import Counter

from jobhook import Job, JobLogHandler

logger = logging.getLogger("word-count")


def main() -> None:
    with Job.from_env() as job:
        logging.basicConfig(level=logging.INFO, handlers=[JobLogHandler(job)])
        document = job.inputs[0]
        name = document.info().name
        with tempfile.TemporaryDirectory() as folder:
            with document.download(folder).open(encoding="utf-8") as file:
                lines = file.readlines()

        words: Counter[str] = Counter()
        for number, line in enumerate(job.progress(lines, desc="counting"), start=1):
            words.update(line.split())
            if number % 200 == 0:
                logger.info("%d words in the first %d lines", words.total(), number)

        table = io.StringIO()
        csv.writer(table).writerows([("word", "count"), *words.most_common()])
        job.outputs.upload(table.getvalue().encode(), name="frequencies.csv", mimetype="text/csv")
        job.results = {"file": name, "lines": len(lines), "words": words.total()}


if __name__ == "__main__":
    main()
