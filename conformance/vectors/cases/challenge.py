"""challenge.json: contents, and what a client announces them with."""

import base64
import hashlib

PATTERN = bytes(range(251))  # a prime: no two blocks of 64 bytes in a row are alike

# size: what ends there. A block has 64 bytes, padding takes at least 9, and the challenge is ahead by 5.
BORDERS = {
    50: "the last size whose challenge is one block",
    51: "the challenge takes a second block for its padding, the hash does not",
    55: "the last size whose hash is one block",
    56: "the hash takes a second block for its padding",
    58: "the challenge is one byte short of a block",
    59: "the challenge fills a block, the hash does not",
    60: "the challenge has a byte beyond a block",
    63: "the hash is one byte short of a block",
    64: "the hash fills a block",
    65: "the hash has a byte beyond a block",
    114: "the last size whose challenge is two blocks",
    115: "the challenge takes a third block for its padding, the hash does not",
    119: "the last size whose hash is two blocks",
    120: "the hash takes a third block for its padding",
    123: "the challenge fills two blocks",
    127: "the hash is one byte short of two blocks",
    128: "the hash fills two blocks",
    129: "the hash has a byte beyond two blocks",
}


def repeated(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


def challenge_cases():
    cases = []

    def add(name, why, content, **given):
        md5 = hashlib.md5(content)
        cases.append({
            "name": name, "why": why, **(given or {"content_base64": base64.b64encode(content).decode()}),
            "expect": {
                "hash": md5.hexdigest(),
                "challenge": hashlib.md5(b"WEBDA" + content).hexdigest(),
                "md5": base64.b64encode(md5.digest()).decode(),
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
            },
        })

    def repeat(name, why, size, pattern=PATTERN):
        add(name, why, repeated(pattern, size), repeat_hex=pattern.hex(), size=size)

    add("empty file", "no bytes have hashes too; the challenge is that of the prefix alone", b"")
    add("one byte", "the smallest content", b"a")
    add("a zero byte", "bytes, not text that ends at the first zero", b"\0")
    add("the prefix itself", "its hash is the challenge of the empty file, and its challenge has the prefix twice", b"WEBDA")
    add("text", "the content of many examples", b"hello world")
    add("text with a byte order mark and CRLF", "nothing is taken off or translated", b"\xef\xbb\xbfone\r\ntwo\r\n")
    add("every byte once", "all values, also those that are no UTF-8", bytes(range(256)))
    for size, why in BORDERS.items():
        add(f"{size} bytes", why, repeated(PATTERN, size))
    repeat("64 KiB of zeros", "a content of equal blocks", 65_536, pattern=b"\0")
    repeat("1 MiB of a pattern", "more than any buffer that a client reads with", 1_048_576)
    repeat("a pattern of 1 MiB and 3 bytes", "the last piece is short", 1_048_579)
    return cases


CHALLENGE = {
    "what": "Contents and their hashes, as an upload announces them: docs/protocol.md, FILE and UP.",
    "fields": {
        "content_base64": "the content; or else",
        "repeat_hex, size": "these bytes over and over, cut off at this size",
        "expect": "hash: MD5; challenge: MD5 of WEBDA and the content; md5: the hash in base64, as answers have it; sha256, size",
    },
}
