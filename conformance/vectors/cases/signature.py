"""signature.json: which requests pass the checks of headers, hash, time and signature."""

import base64
import hashlib

from .signing import BODY, ID, KEY, NOW, OTHER_KEY, TIME, WINDOW, headers, hmac_hex, v1_hash, webda_hash

WEBDA, V1 = headers("webda"), headers("v1")
HASH, SIGNED = WEBDA["X-Job-Hash"], V1["X-Job-Signature"]


def without(sent, *names):
    return {name: value for name, value in sent.items() if name not in names}


def flipped(text: str) -> str:
    """The same digits but for one bit of the last one."""
    return text[:-1] + "%x" % (int(text[-1], 16) ^ 1)


class Requests:
    """Collects the requests; every argument is what the *server* receives."""

    def __init__(self):
        self.cases = []

    def add(self, name, why, profile, expect, *, sent=None, key=KEY, id=ID, time=TIME,
            method="POST", target="/status", body=BODY, now=NOW, window=WINDOW,
            known=True, require=False, signs=False):
        case = {
            "name": name,
            "why": why,
            "profile": profile,
            "key": key,
            "id": id,
            "time": time,
            "method": method,
            "target": target,
        }
        try:
            case["body"] = body.decode()
        except UnicodeDecodeError:
            case["body_base64"] = base64.b64encode(body).decode()
        case["headers"] = sent or headers(profile, key, id, time, method, target, body)
        case["now_ms"] = now
        case["max_clock_skew_ms"] = window
        case["attempt_key_known"] = known
        case["require_signature"] = require
        case["signs"] = signs
        case["expect"] = expect
        self.cases.append(case)


def honest(s):
    """What honest clients send, in both profiles."""
    for profile in ("webda", "v1"):
        def good(name, why, **given):
            s.add(f"{profile}: {name}", why, profile, "accepted", signs=True, **given)

        good("worked example", "the request of the examples in the document")
        good("short key", "a key is any text; the HMAC pads it", key="s3cret")
        good("key in the form of the original's", "the original hands out version 4 UUIDs",
             key="9b1f6a52-3c7e-4d08-8f43-5a2be0c71d96")
        good("key longer than one hash block", "HMAC hashes a key of more than 64 bytes first", key="k" * 100)
        good("key with \u00e9", "one byte a character: the key byte is E9, not the two bytes of UTF-8", key="cl\u00e9")
        good("key with \u00ff", "the last character of latin-1", key="\u00ff\u00ff")
        good("key with U+0080", "control characters of latin-1 are bytes like any other; windows-1252 would differ",
             key="a\u0080z")
        good("empty body", "an empty body is a heartbeat; its SHA-256 is that of no bytes", body=b"")
        good("body with text outside ASCII", "the bytes on the wire are signed, here UTF-8",
             body='{"logs":["na\u00efve \u2713"]}'.encode())
        good("binary body", "a signature does not care what the bytes mean", body=bytes([0, 255, 254, 10, 13, 128]))
        good("empty target", "a report to the hook's own address", target="")
        good("query in the target", "the query belongs to the target, `?` included", target="/status?trace=1&b=%20")
        good("query on the hook itself", "with no path the target begins with `?`", target="?trace=1")
        good("id of 64 characters", "the longest id", id="a" * 64)
        good("id of every kind of character", "ids are letters, digits, `.`, `_` and `-`", id="Az09._-")
        good("id that is a word of some languages", "`constructor` is an id like any other", id="constructor")
        good("time with leading zeros", "the text is signed, the number is judged", time="00" + TIME)


def header_faults(s):
    """The headers, before anything is computed."""
    for profile, sent in (("webda", WEBDA), ("v1", V1)):
        for header in ("X-Job-Id", "X-Job-Time", "X-Job-Hash"):
            s.add(f"{profile}: no {header}", "the three headers of the original are always required",
                  profile, "missing_header", sent=without(sent, header))
    for header in ("X-Job-Id", "X-Job-Time", "X-Job-Hash"):
        s.add(f"empty {header}", "an empty value counts as missing", "webda", "missing_header", sent=WEBDA | {header: ""})
    s.add("empty X-Job-Signature", "an empty signature is none, and the v1 hash is worthless without one", "v1",
          "signature_required", sent=V1 | {"X-Job-Signature": ""})
    for header in ("X-Job-Id", "X-Job-Time", "X-Job-Signature"):
        s.add(f"joined {header}", "some servers join a header sent twice with a comma; it is not one value", "v1",
              "malformed_header", sent=V1 | {header: f"{V1[header]}, {V1[header]}"})
    for header in V1:
        s.add(f"repeated {header}", "the same header twice, here in two spellings, is refused even if both agree",
              "v1", "repeated_header", sent=V1 | {header.lower(): V1[header]})
    for id, why in (
        ("../x", "an id is not a path"),
        ("a b", "a space is not an id character"),
        ("caf\u00e9", "ids are ASCII"),
        ("a" * 65, "one character too long"),
        ("a/b", "a slash is not an id character"),
    ):
        s.add(f"malformed id {id[:8]!r}, length {len(id)}", why, "webda", "malformed_header", id=id)
    for time, why in (
        ("yesterday", "a time is digits"),
        ("-1", "no sign"),
        ("+" + TIME, "no sign"),
        ("1.764e12", "no exponent"),
        (TIME + ".0", "no fraction"),
        ("17640000 00000", "no space"),
        ("\uff11\uff17\uff16\uff14", "ASCII digits only, whatever a language's isdigit says"),
        ("0" * 16, "at most 15 digits"),
    ):
        s.add(f"malformed time {time!r}", why + "; refused although the hash over it is right", "webda",
              "malformed_header", time=time,
              sent={"X-Job-Id": ID, "X-Job-Time": time, "X-Job-Hash": webda_hash(KEY, time)})
    for name, value, why in (
        ("without its prefix", SIGNED[3:], "`v1=` names the scheme"),
        ("of another scheme", "v2=" + SIGNED[3:], "an unknown scheme is not a reason to skip the check"),
        ("in upper case", "v1=" + SIGNED[3:].upper(), "lower-case digits only"),
        ("with an upper-case prefix", "V1=" + SIGNED[3:], "the prefix is exact"),
        ("truncated", SIGNED[:-1], "64 digits"),
        ("one digit too long", SIGNED + "0", "64 digits"),
        ("not hex", "v1=" + "g" * 64, "hex digits"),
        ("in base64", "v1=" + base64.b64encode(bytes.fromhex(SIGNED[3:])).decode(), "hex, not base64"),
        ("with a space inside", "v1= " + SIGNED[3:], "nothing between prefix and digits"),
        ("listed twice", f"{SIGNED} {SIGNED}", "one signature, not a list"),
    ):
        s.add(f"signature {name}", why, "v1", "malformed_header", sent=V1 | {"X-Job-Signature": value})
    s.add("malformed signature and wrong hash", "headers are looked at before the hash", "v1", "malformed_header",
          sent=V1 | {"X-Job-Signature": "v1=", "X-Job-Hash": flipped(V1["X-Job-Hash"])})


def hashes(s):
    """The hash, before the body is read."""
    for name, value, why in (
        ("upper-case hash", HASH.upper(), "lower-case digits only, as the original compares text"),
        ("truncated hash", HASH[:-1], "half a proof is none"),
        ("hash with one digit more", HASH + "0", "no more and no less than 64 digits"),
        ("hash with one bit changed", flipped(HASH), "the smallest forgery"),
        ("hash that is not hex", "z" * 64, "it cannot be right, so it is answered as a wrong one"),
        ("joined X-Job-Hash", f"{HASH}, {HASH}", "two right hashes joined by a comma are not 64 digits"),
        ("hash of zeros", "0" * 64, "a placeholder is not a proof"),
        ("foreign hash", webda_hash(OTHER_KEY, TIME), "made with the key of another action"),
        ("hash of another time", webda_hash(KEY, str(NOW - 1)), "the time is what is signed"),
        ("hash over time and newline", webda_hash(KEY, TIME + "\n"), "`echo` adds a byte that `printf %s` does not"),
        ("hash with the key's hex decoded", hmac_hex(bytes.fromhex(KEY), TIME), "the key is text, not hex for bytes"),
        ("plain SHA-256", hashlib.sha256((KEY + TIME).encode()).hexdigest(), "HMAC, not a hash of key and time"),
    ):
        s.add(name, why, "webda", "bad_signature", sent=WEBDA | {"X-Job-Hash": value})
    s.add("key with \u00e9 in UTF-8", "the bytes of UTF-8 are another key", "webda", "bad_signature", key="cl\u00e9",
          sent=WEBDA | {"X-Job-Hash": hmac_hex("cl\u00e9".encode(), TIME)})
    s.add("unknown id", "nobody learns whether an id exists: the same answer as for a wrong hash", "webda",
          "bad_signature", known=False)
    s.add("unknown id, v1", "the same in profile v1", "v1", "bad_signature", known=False)
    for profile in ("webda", "v1"):
        s.add(f"{profile}: key outside latin-1", "no byte stands for the euro sign: the client refuses to sign",
              profile, "key_not_latin1", key="\u20acuro")
    s.add("header names in lower case", "HTTP header names have no case", "webda", "accepted",
          sent={name.lower(): value for name, value in WEBDA.items()})
    s.add("header names in upper case, v1", "HTTP header names have no case", "v1", "accepted",
          sent={name.upper(): value for name, value in V1.items()})


def window(s):
    """The time window, which the original does not have."""
    for profile in ("webda", "v1"):
        for shift, expect, why in (
            (-WINDOW, "accepted", "the oldest time inside: the border belongs to the window"),
            (WINDOW, "accepted", "the newest time inside"),
            (-WINDOW - 1, "clock_skew", "one millisecond too old"),
            (WINDOW + 1, "clock_skew", "one millisecond too new"),
            (-WINDOW - 1000, "clock_skew", "one second too old"),
            (WINDOW + 1000, "clock_skew", "one second too new"),
        ):
            s.add(f"{profile}: {shift:+d} ms", why, profile, expect, time=str(NOW + shift))
    s.add("window of zero, same millisecond", "a window of zero takes only the very same millisecond", "webda",
          "accepted", window=0)
    s.add("window of zero, one millisecond off", "nothing else is inside a window of zero", "webda", "clock_skew",
          window=0, time=str(NOW + 1))
    s.add("seconds instead of milliseconds", "seconds lie in January 1970", "webda", "clock_skew", time=str(NOW // 1000))
    s.add("fifteen nines", "the longest time is far outside, and no overflow", "webda", "clock_skew", time="9" * 15)
    s.add("outside the window with a wrong hash", "the hash is judged first: a stranger does not learn the server's time",
          "webda", "bad_signature", time=str(NOW - WINDOW - 1),
          sent=headers("webda", key=OTHER_KEY, time=str(NOW - WINDOW - 1)))
    for name, time in (("an hour late", str(NOW - 3_600_000)), ("time zero", "0"), ("in seconds", str(NOW // 1000)),
                       ("fifteen nines", "9" * 15)):
        s.add(f"window off: {name}", "`off` restores the original, which never looks at a clock", "webda", "accepted",
              window=None, time=time)
    s.add("window off, wrong hash", "`off` is about time only", "webda", "bad_signature", window=None,
          sent=WEBDA | {"X-Job-Hash": flipped(HASH)})
    s.add("window off, v1 outside the default window", "`off` never applies to v1, which falls back to 300 s", "v1",
          "clock_skew", window=None, time=str(NOW - WINDOW - 1))
    s.add("window off, v1 at the border", "the default window judges", "v1", "accepted", window=None,
          time=str(NOW - WINDOW))
    late = str(NOW - WINDOW - 1)
    s.add("outside the window, v1 hash without signature", "time is judged before the presence of a signature", "v1",
          "clock_skew", time=late, sent=without(headers("v1", time=late), "X-Job-Signature"))
    s.add("outside the window with a wrong signature", "time is judged before the signature", "v1", "clock_skew",
          time=late, sent=headers("v1", time=late, body=b"{}"))


def signatures(s):
    """The signature of profile v1: present where it must be, and right."""
    s.add("webda hash beside a signature", "job.py's way of hashing may stand beside a signature", "v1", "accepted",
          sent=V1 | {"X-Job-Hash": HASH})
    s.add("signature stripped", "the v1 hash alone is worthless: a request robbed of its signature is not a webda one",
          "v1", "signature_required", sent=without(V1, "X-Job-Signature"))
    s.add("webda hash where a signature is required", "a runner with signature = \"v1\" takes no unsigned request",
          "webda", "signature_required", require=True)
    s.add("signature stripped where one is required", "the same answer for the v1 hash", "v1", "signature_required",
          require=True, sent=without(V1, "X-Job-Signature"))
    s.add("signed request where a signature is required", "what such a runner's jobs send", "v1", "accepted",
          require=True)
    s.add("webda hash beside a signature where one is required", "the signature counts, either hash may stand beside it",
          "v1", "accepted", require=True, sent=V1 | {"X-Job-Hash": HASH})
    s.add("wrong hash where a signature is required", "the hash is judged first", "webda", "bad_signature",
          require=True, sent=WEBDA | {"X-Job-Hash": flipped(HASH)})
    s.add("wrong hash beside a right signature", "the hash is judged before the body is read, signature or not", "v1",
          "bad_signature", sent=V1 | {"X-Job-Hash": flipped(V1["X-Job-Hash"])})
    s.add("hash without the newline of v1", "`v1` and the time are two lines", "v1", "bad_signature",
          sent=V1 | {"X-Job-Hash": webda_hash(KEY, "v1" + TIME)})
    s.add("foreign signature", "hash of this action, signature with another's key", "v1", "bad_signature",
          sent=V1 | {"X-Job-Signature": headers("v1", key=OTHER_KEY)["X-Job-Signature"]})
    s.add("signature with one bit changed", "the smallest forgery", "v1", "bad_signature",
          sent=V1 | {"X-Job-Signature": flipped(SIGNED)})
    s.add("hash repeated as signature", "one does not stand for the other", "v1", "bad_signature",
          sent=V1 | {"X-Job-Signature": "v1=" + V1["X-Job-Hash"]})
    s.add("body tampered", "signed as RUNNING, received as SUCCESS", "v1", "bad_signature", sent=V1,
          body=BODY.replace(b"RUNNING", b"SUCCESS"))
    s.add("body with one space more", "the bytes are signed, not their meaning", "v1", "bad_signature", sent=V1,
          body=BODY + b" ")
    s.add("body dropped", "a report turned into a heartbeat", "v1", "bad_signature", sent=V1, body=b"")
    s.add("method tampered", "signed as POST, received as PUT", "v1", "bad_signature", sent=V1, method="PUT")
    s.add("method signed in lower case", "methods are signed as HTTP writes them", "v1", "bad_signature",
          sent=headers("v1", method="post"))
    s.add("path tampered", "signed for /status, received at the hook's own address", "v1", "bad_signature", sent=V1,
          target="")
    s.add("path signed from the root", "the target begins after the hook's own address, so proxies may move the hook",
          "v1", "bad_signature", sent=headers("v1", target="/async/status"))
    s.add("query added", "the query is part of the target", "v1", "bad_signature", sent=V1, target="/status?trace=1")
    s.add("query dropped", "the query is part of the target", "v1", "bad_signature",
          sent=headers("v1", target="/status?trace=1"))
    s.add("target decoded before signing", "the target is signed as sent, nothing decoded", "v1", "bad_signature",
          sent=headers("v1", target="/status?note=a b"), target="/status?note=a%20b")
    s.add("id tampered", "signed for another id; here both have the same key, so only the signature can tell", "v1",
          "bad_signature", id="job-8", sent=V1 | {"X-Job-Id": "job-8"})
    later = str(NOW + 1)
    s.add("time tampered, hash and all", "time and hash of one request, signature of another", "v1", "bad_signature",
          time=later, sent=V1 | {"X-Job-Time": later, "X-Job-Hash": v1_hash(KEY, later)})
    s.add("time tampered", "the hash is over another time", "v1", "bad_signature", time=later,
          sent=V1 | {"X-Job-Time": later})
    s.add("same number, other text", "leading zeros make another text, and the text is signed", "v1", "bad_signature",
          time="0" + TIME, sent=V1 | {"X-Job-Time": "0" + TIME})
    digest = hashlib.sha256(BODY).hexdigest()
    parts = ["v1", ID, TIME, "POST", "/status", digest]
    for name, text, why in (
        ("lines ended by CRLF", "\r\n".join(parts), "one newline, U+000A, between the parts"),
        ("newline at the end", "\n".join(parts) + "\n", "no newline after the last part"),
        ("body hash in upper case", "\n".join(parts[:-1] + [digest.upper()]), "the SHA-256 of the body is lower-case hex"),
        ("body itself instead of its hash", "\n".join(parts[:-1] + [BODY.decode()]), "the body enters as its SHA-256"),
    ):
        s.add(name, why, "v1", "bad_signature", sent=V1 | {"X-Job-Signature": "v1=" + hmac_hex(KEY.encode(), text)})


def signature_cases():
    s = Requests()
    for group in (honest, header_faults, hashes, window, signatures):
        group(s)
    return s.cases


SIGNATURE = {
    "what": "Which requests to the hook pass the checks of headers, hash, time and signature: docs/protocol.md, SIG.",
    "fields": {
        "profile": "what the sender speaks",
        "key": "the attempt's key as text; the server holds it for the X-Job-Id it received",
        "id, time, method, target, body": "the request as the server receives it; body_base64 where it is not UTF-8",
        "headers": "as received; two spellings of one name are the same header twice",
        "now_ms": "the server's clock",
        "max_clock_skew_ms": "the window in each direction; null is `off`",
        "attempt_key_known": "false: no attempt has this id",
        "require_signature": "true: the runner has signature = \"v1\"",
        "signs": "true: a client of this profile, given key, id, time, method, target and body, sends exactly these headers",
        "expect": "accepted, or the code of the refusal",
    },
}
