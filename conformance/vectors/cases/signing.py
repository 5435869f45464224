"""The protocol's arithmetic, and the values that the cases share.

Written from docs/protocol.md (SIG, KEY) with the standard library only. No clock,
no randomness: the numbers below stand for both.
"""

import hashlib
import hmac


def hmac_hex(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def key_bytes(key: str) -> bytes:
    """One byte a character (SIG-4). Keys outside latin-1 are what a careless sender would do."""
    try:
        return key.encode("latin-1")
    except UnicodeEncodeError:
        return key.encode("utf-8")


def webda_hash(key: str, time: str) -> str:
    return hmac_hex(key_bytes(key), time)


def v1_hash(key: str, time: str) -> str:
    return hmac_hex(key_bytes(key), f"v1\n{time}")


def v1_signature(key: str, id: str, time: str, method: str, target: str, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return "v1=" + hmac_hex(key_bytes(key), f"v1\n{id}\n{time}\n{method}\n{target}\n{digest}")


def attempt_key(master: bytes, id: str, attempt: int, nonce: str) -> str:
    return hmac_hex(master, f"jobhook job-key\n{id}\n{attempt}\n{nonce}")


NOW = 1_764_000_000_000
TIME = str(NOW)
WINDOW = 300_000
MASTER = bytes(range(32))
NONCE = "5f2b8c0e9d714a36b1e07c4d2a9f6385"
ID = "019ab697-e800-7a3e-8b21-4d6f0e9c1a57"
KEY = attempt_key(MASTER, ID, 1, NONCE)
OTHER_KEY = attempt_key(MASTER, "019ab697-e800-7d10-9c44-27b1f3e8a602", 1, NONCE)
BODY = b'{"status":"RUNNING","logs":["hello"]}'


def headers(profile: str, key=KEY, id=ID, time=TIME, method="POST", target="/status", body=BODY):
    """The headers that an honest client of `profile` sends (SIG-6, SIG-7, SIG-8)."""
    if profile == "webda":
        return {"X-Job-Id": id, "X-Job-Time": time, "X-Job-Hash": webda_hash(key, time)}
    return {
        "X-Job-Id": id,
        "X-Job-Time": time,
        "X-Job-Hash": v1_hash(key, time),
        "X-Job-Signature": v1_signature(key, id, time, method, target, body),
    }
