# jobhook.sh: the job's side of the protocol (profile v1) for a POSIX shell with
# awk, curl and openssl. Source it, then:
#
#   report '"status":"RUNNING","progress":{"percent":40}'
#   say 'a line for the log'
#   json_string < FILE          # any text as a JSON string
#
# `report` takes the members of a JSON object. It returns when the server has
# taken them, and ends the job when the server wants it to stop or refuses it.
# Call it from the shell itself, not from a `$(...)` or a pipe: it counts.
#
# The key stays where it came from, in the environment: awk reads it there, and
# openssl and curl never see it, so neither `ps` nor a file ever shows it.

for jobhook_name in JOB_ID JOB_HOOK JOB_SECRET_KEY JOB_ATTEMPT; do
    if eval "[ -z \"\${$jobhook_name:-}\" ]"; then
        echo "$jobhook_name is not set; a jobhook server sets it for its jobs" >&2
        exit 64
    fi
done

# Who reports, and how often it has: the server applies each number once, so a
# report whose answer got lost is simply sent again.
jobhook_reporter=$(openssl rand -hex 8) || exit 69
jobhook_seq=0

# The key as one SHA-256 block, each byte xored with $1: one half of an HMAC.
# A key made by a jobhook server is 64 hex digits and so fills the block.
hmac_pad() {
    LC_ALL=C awk -v pad="$1" '
        function flipped(a, b,    bit, sum) {
            for (bit = 1; bit < 256; bit *= 2)
                if (int(a / bit) % 2 != int(b / bit) % 2) sum += bit
            return sum + 0
        }
        BEGIN {
            for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i
            key = ENVIRON["JOB_SECRET_KEY"]
            for (i = 1; i <= 64; i++) printf "%c", flipped(code[substr(key, i, 1)], pad)
        }'
}

sha256_hex() {
    openssl dgst -sha256 -r | cut -c 1-64
}

# HMAC-SHA256 of stdin under the job's key, in hex. `openssl dgst -hmac` would
# want the key as an argument, so the two hashes are done one by one.
hmac_hex() {
    { hmac_pad 54; cat; } | openssl dgst -sha256 -binary | { hmac_pad 92; cat; } | sha256_hex
}

# Turns stdin into a JSON string, quotes included. What is not UTF-8 is left out,
# since JSON cannot carry it.
json_string() {
    iconv -c -f UTF-8 -t UTF-8 2>/dev/null | LC_ALL=C awk '
        BEGIN {
            for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
            escape["\""] = "\\\""
            escape["\\"] = "\\\\"
            printf "\""
        }
        {
            if (NR > 1) printf "\\n"
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                printf "%s", (c in escape) ? escape[c] : c
            }
        }
        END { printf "\"" }'
}

# Whether the answer on stdin has "action": "STOP" as a member of its own. It also
# holds the action's arguments, which may say anything, so the depth counts.
wants_stop() {
    LC_ALL=C awk '
        { text = text $0 "\n" }
        END {
            size = length(text)
            for (i = 1; i <= size; i++) {
                c = substr(text, i, 1)
                if (quoted) {
                    if (c == "\\") { word = word c; c = substr(text, ++i, 1) }
                    else if (c == "\"") quoted = 0
                    if (quoted) word = word c
                    else if (depth == 1 && key == "action" && word == "STOP") found = 1
                }
                else if (c == "\"") { quoted = 1; word = "" }
                else if (c == "{" || c == "[") depth++
                else if (c == "}" || c == "]") depth--
                else if (depth == 1 && c == ":") key = word
                else if (depth == 1 && c == ",") key = ""
            }
            exit !found
        }'
}

# Sends the body $1 once. Sets jobhook_code (000: no answer) and jobhook_answer.
# Signed anew at each try, since a signature is only good for some minutes.
send_once() {
    jobhook_time=$(date +%s)000
    jobhook_digest=$(printf '%s' "$1" | sha256_hex)
    # Parts of the text that is signed: id, time, method, path after the hook, body.
    jobhook_signature=$(printf 'v1\n%s\n%s\nPOST\n/status\n%s' \
        "$JOB_ID" "$jobhook_time" "$jobhook_digest" | hmac_hex)
    jobhook_hash=$(printf 'v1\n%s' "$jobhook_time" | hmac_hex)
    jobhook_answer=$(
        printf '%s' "$1" | curl --silent --max-time 30 --data-binary @- \
            --header 'Content-Type: application/json' \
            --header "X-Job-Id: $JOB_ID" \
            --header "X-Job-Time: $jobhook_time" \
            --header "X-Job-Hash: $jobhook_hash" \
            --header "X-Job-Signature: v1=$jobhook_signature" \
            --write-out '\n%{http_code}' "${JOB_HOOK%/}/status"
    ) || jobhook_answer="
000"
    jobhook_code=${jobhook_answer##*
}
    jobhook_answer=${jobhook_answer%
*}
}

report() {
    jobhook_seq=$((jobhook_seq + 1))
    jobhook_body="{\"reporter\":\"$jobhook_reporter\",\"seq\":$jobhook_seq${1:+,$1}}"
    # Waits 1, 2, 4, 8, 16 and 32 seconds between its tries: a server that is
    # being restarted or upgraded is back by then.
    for jobhook_wait in 1 2 4 8 16 32 0; do
        send_once "$jobhook_body"
        case $jobhook_answer in
        *STOP*)
            if printf '%s' "$jobhook_answer" | wants_stop; then
                echo "the server wants this job to stop" >&2
                exit 143
            fi
            ;;
        esac
        case $jobhook_code in
        200) return 0 ;;
        000 | 408 | 429 | 5??) [ "$jobhook_wait" = 0 ] || sleep "$jobhook_wait" ;;
        *)
            echo "the server refused a report with $jobhook_code: $jobhook_answer" >&2
            exit 77
            ;;
        esac
    done
    echo "no answer from $JOB_HOOK (last status: $jobhook_code)" >&2
    exit 69
}

# One line of the action's log.
say() {
    report "\"logs\":[$(printf '%s' "$1" | json_string)]"
}
