"""keys.json: the key of an attempt."""

from .signing import ID, MASTER, NONCE, attempt_key

def key_cases():
    cases = []

    def add(name, why, master=MASTER, id=ID, attempt=1, nonce=NONCE, refused=None):
        expect = {"refused": refused} if refused else {"key": attempt_key(master, id, attempt, nonce)}
        cases.append({"name": name, "why": why, "master_hex": master.hex(), "id": id, "attempt": attempt,
                      "nonce": nonce, "expect": expect})

    add("worked example", "the key of the examples in the document")
    add("second attempt", "a new attempt has a new key even if a nonce were repeated", attempt=2)
    add("tenth attempt", "the attempt is written in decimal, without leading zeros", attempt=10)
    add("greatest attempt", "attempts are numbered up to 2^32 - 1", attempt=4_294_967_295)
    add("another nonce", "each claim draws a nonce", nonce="0" * 31 + "1")
    add("another action", "each action has its own keys", id="019ab697-e800-7d10-9c44-27b1f3e8a602")
    add("short id", "ids are text of 1 to 64 characters", id="a")
    add("long id", "the longest id", id="Z" * 64)
    add("id of punctuation", "`.`, `_` and `-` are id characters", id="a.b_c-d")
    add("another master", "masters rotate, each key belongs to one", master=bytes(range(255, 223, -1)))
    add("master of one hash block", "64 bytes, used as they are", master=bytes(range(64)))
    add("master longer than a hash block", "HMAC hashes a key of more than 64 bytes first", master=bytes(range(100)))
    add("master with zero bytes at its end", "bytes, not text that ends at the first zero", master=b"\xff" * 31 + b"\0")
    add("attempt zero", "attempts are numbered from 1", attempt=0, refused="attempt")
    add("empty nonce", "without a nonce a key could come back", nonce="", refused="nonce")
    return cases


KEYS = {
    "what": "The key of an attempt from master, action id, attempt and nonce: docs/protocol.md, KEY.",
    "fields": {
        "master_hex": "the master's bytes in hex",
        "nonce": "text, 32 lower-case hex digits",
        "expect": "the key (the value of JOB_SECRET_KEY), or the argument that is refused",
    },
}
