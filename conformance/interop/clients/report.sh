#!/bin/sh
# What a job says, with the command line: see ../README.md. $1 picks what it does, $LINES_SENT
# holds the lines, $JOBHOOK_BIN is the program.
set -eu

lines() { printf '%s\n' "$LINES_SENT"; }
last=$(lines | tail -n 1)

"$JOBHOOK_BIN" report --status RUNNING --message counting
case $1 in
fail) "$JOBHOOK_BIN" report --error "$(lines | head -n 1)" ;;
until-stopped)
    code=0
    while [ "$code" -eq 0 ]; do
        "$JOBHOOK_BIN" report --progress 50 || code=$?
    done
    [ "$code" -eq 3 ] # told to stop; anything else is a failure
    "$JOBHOOK_BIN" report --error "asked to stop" || [ "$?" -eq 3 ]
    ;;
work)
    # A server that takes no lines for this action is no reason to fail.
    lines | "$JOBHOOK_BIN" log --timeout 5s || echo "the lines were not taken" >&2
    "$JOBHOOK_BIN" report --progress 100 --message done
    "$JOBHOOK_BIN" report --status SUCCESS --results "{\"lines\": $(lines | wc -l), \"last\": \"$last\"}"
    ;;
esac
