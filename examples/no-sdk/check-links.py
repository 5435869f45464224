#!/usr/bin/env python3
"""Checks that the relative links of a Markdown file lead somewhere.

A program that knows nothing of jobhook: it reads its order as JSON from stdin,
prints to stdout, and its exit code says how it went. The runner turns that into
an action: the lines become its log, exit code 0 is SUCCESS, any other ERROR.

    echo '{"path": "README.md"}' | python3 examples/no-sdk/check-links.py

    jobhook serve --config examples/jobhook.toml
    jobhook launch CheckLinks --arguments '{"path": "/path/to/README.md"}' --follow
"""

import json
import re
import sys
from pathlib import Path


def main() -> int:
    order = json.load(sys.stdin)
    page = Path(order["path"])
    missing = 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:|#", target):
                continue  # another site, or a place in this page
            found = (page.parent / target.split("#")[0]).exists()
            missing += not found
            print(f"line {number}: {target} {'is there' if found else 'IS MISSING'}")
    print(f"{missing} missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
