#!/bin/sh
# Counts the words of a file, as `wc -w` does, and reports on the way.
#
# You see: ten steps of progress with a log line each, then the results
# {"path": ..., "lines": ..., "words": ...}. A file that cannot be read is an ERROR.
#
# The point: a shell script with curl and openssl is a full citizen. jobhook.sh
# beside this file speaks the protocol; nothing of jobhook needs to be installed.
#
#   jobhook serve --config examples/jobhook.toml
#   jobhook launch WordCount --arguments '{"path": "/etc/services"}' --follow
set -eu

path=$1
# shellcheck source=examples/shell-curl/jobhook.sh
. "$(dirname "$0")/jobhook.sh"

if ! [ -f "$path" ] || ! [ -r "$path" ]; then
    message=$(printf '%s' "$path is not a readable file" | json_string)
    report "\"status\":\"ERROR\",\"errorMessage\":$message"
    exit 1
fi

# An unfinished last line is a line too.
lines=$(LC_ALL=C awk 'END { print NR }' <"$path")
steps=10
[ "$lines" -ge "$steps" ] || steps=$lines

report '"status":"RUNNING","progress":{"percent":0,"message":"counting"}'

words=0 step=0 counted=0
while [ "$step" -lt "$steps" ]; do
    step=$((step + 1))
    last=$((lines * step / steps))
    # A new line ends a word, so the counts of some lines add up to the whole.
    part=$(LC_ALL=C sed -n "$((counted + 1)),${last}p" <"$path" | LC_ALL=C.UTF-8 wc -w)
    words=$((words + part))
    log=$(printf '%s' "lines $((counted + 1)) to $last: $((part)) words" | json_string)
    counted=$last
    report "\"progress\":{\"percent\":$((100 * step / steps)),\"done\":$counted,\"total\":$lines},\"logs\":[$log]"
done

results="{\"path\":$(printf '%s' "$path" | json_string),\"lines\":$lines,\"words\":$words}"
report "\"status\":\"SUCCESS\",\"results\":$results"
