#!/bin/sh
# The demonstration behind `./just demo`: a Python program, launched as an action of a
# real server, watched live, its result compared with what `wc` says. The python3 on the
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

arguments=$(python3 -c 'import json, sys; print(json.dumps({"path": sys.argv[1]}))' "$page")
echo "\$ jobhook launch WordCountPython --arguments '$arguments' --follow"
if ! "$jobhook" launch WordCountPython --arguments "$arguments" --follow >"$folder/uuid"; then
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

cat <<END

Go on:
  export PATH="$PWD/.tools/python/bin:$(cd "$(dirname "$jobhook")" && pwd):\$PATH"
  jobhook serve --config examples/jobhook.toml
  jobhook launch WordCountPython --arguments '$arguments' --follow   (in another terminal)

  examples/python-word-count/word-count.py   the program that just ran
  examples/jobhook.toml                      how the server knows it; yours can stand beside it
  docs/guides/python.md                      how to write one
  ./just test                                everything there is to check
END
