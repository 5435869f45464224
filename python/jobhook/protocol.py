"""Signing, reading and judging, for programs that speak the protocol themselves.

The clauses named here are those of `docs/protocol.md`; `conformance/vectors` holds examples.
"""

from __future__ import annotations

from ._jobhook import (
    attempt_key,
    read_environment,
    sign_v1,
    sign_webda,
    status_after,
    verify,
)

__all__ = [
    "attempt_key",
    "read_environment",
    "sign_v1",
    "sign_webda",
    "status_after",
    "verify",
]
