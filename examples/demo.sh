#!/bin/sh
# The demonstration behind `./just demo`: a Python program, launched as an action of a
# real server with a file, watched live, its result compared with what `wc` says, and the
# file that it left fetched and shown. The python3 on the
# PATH has the package jobhook; `./just` sees to that.
#
# The server listens on a free port and keeps its data in a temporary folder; both
# are gone at the end, also after Ctrl-C.
set -eu

cd "$(dirname "$0")/.."
jobhook=${JOBHOOK_BIN:-target/debug/jobhook}
page=$PWD/docs/protocol.md
folder=$(mktemp -d)
server=

stop() {
    trap - EXIT
    # Stopping a server leaves its jobs running, on purpose. Not this one's.
    if [ -s "$folder/uuid" ]; then
        "$jobhook" cancel "$(cat "$folder/uuid")" >"$folder/cancel" 2>&1 || true
    fi
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

member() {
    python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, key: value[key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

# The first line that the server prints has its address. A pipe lets us wait for it,
# and stays open, since the server may print more. Its own process group keeps Ctrl-C
# from it until the action is cancelled.
mkfifo "$folder/printed"
python3 -c 'import os, sys
os.setpgid(0, 0)
os.execv(sys.argv[1], sys.argv[1:])' "$jobhook" serve --config examples/jobhook.toml \
    --data-dir "$folder/data" --listen 127.0.0.1:0 >"$folder/printed" 2>"$folder/server.log" &
server=$!
exec 3<"$folder/printed"
if ! IFS= read -r line <&3; then
    echo "the server did not start:" >&2
    cat "$folder/server.log" >&2
    exit 1
fi
echo "$line"
JOBHOOK_URL=${line##* }
export JOBHOOK_URL

echo "\$ jobhook launch WordCountPython --file docs/protocol.md --follow"
if ! "$jobhook" launch WordCountPython --file "$page" --follow >"$folder/uuid"; then
    echo "the action did not succeed; the server's log:" >&2
    cat "$folder/server.log" >&2
    exit 1
fi

uuid=$(cat "$folder/uuid")
action=$("$jobhook" show "$uuid" --json)
: >"$folder/uuid" # it is over, there is nothing to cancel
counted=$(printf '%s' "$action" | member results words)
wanted=$(LC_ALL=C.UTF-8 wc -w <"$page" | tr -d ' ')

printf '%s' "$action" | member status
echo "$counted words in docs/protocol.md (wc -w says $wanted)"
[ "$counted" = "$wanted" ] || exit 1

echo
echo "\$ jobhook files $uuid"
"$jobhook" files "$uuid"
echo "\$ jobhook files $uuid --download out; head -n 6 out/frequencies.csv"
"$jobhook" files "$uuid" --download "$folder/out" >"$folder/fetched"
head -n 6 "$folder/out/frequencies.csv"
added=$(python3 -c 'import csv, sys
print(sum(int(row["count"]) for row in csv.DictReader(open(sys.argv[1], encoding="utf-8", newline=""))))' \
    "$folder/out/frequencies.csv")
[ "$added" = "$wanted" ] || { echo "the table adds up to $added" >&2; exit 1; }

cat <<END

Go on:
  export PATH="$PWD/.tools/python/bin:$(cd "$(dirname "$jobhook")" && pwd):\$PATH"
  jobhook serve --config examples/jobhook.toml
  jobhook launch WordCountPython --file README.md --follow   (in another terminal)
  jobhook files ID --download out                            what it left

  examples/python-word-count/word-count.py   the program that just ran
  examples/jobhook.toml                      how the server knows it; yours can stand beside it
  docs/guides/python.md                      how to write one
  docs/guides/files.md                       how files go in and out
  ./just test                                everything there is to check
END
