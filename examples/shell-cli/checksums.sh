#!/bin/sh
# Writes the SHA-256 of every file of a folder into the action's log.
#
# You see: one log line a file, a percentage that grows, and at the end the results
# {"files": N, "digest": ...}, where digest is one checksum over all the lines.
#
# The point: inside a job the `jobhook` program is all a shell script needs to
# report; it finds its server and its key in the environment.
#
#   jobhook serve --config examples/jobhook.toml
#   jobhook launch Checksums --arguments '{"path": "/etc/ssl"}' --follow
set -eu

jobhook=${JOBHOOK_BIN:-jobhook}
folder=$1

if ! cd "$folder"; then
    "$jobhook" report --status ERROR --error "cannot enter $folder"
    exit 1
fi

total=0
for file in *; do
    [ ! -f "$file" ] || total=$((total + 1))
done
"$jobhook" report --status RUNNING --progress 0 --message "$total files"

sums='' seen=0
for file in *; do
    [ -f "$file" ] || continue
    seen=$((seen + 1))
    line="$(openssl dgst -sha256 -r <"$file" | cut -c 1-64)  $file"
    sums="$sums$line
"
    "$jobhook" log "$line"
    "$jobhook" report --progress $((100 * seen / total)) --message "$file"
done

digest=$(printf '%s' "$sums" | openssl dgst -sha256 -r | cut -c 1-64)
"$jobhook" report --status SUCCESS --results "{\"files\":$seen,\"digest\":\"$digest\"}"
