"""The package against `conformance/vectors/`: the facts that every implementation shares."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from jobhook import InvalidEnvironment, job_headers
from jobhook.protocol import (
    attempt_key,
    read_environment,
    sign_v1,
    sign_webda,
    status_after,
    verify,
)

VECTORS = Path(__file__).parents[2] / "conformance/vectors"


def _cases(name: str) -> list[Any]:
    cases = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


def _body(case: dict[str, Any]) -> bytes:
    if "body_base64" in case:
        return base64.b64decode(case["body_base64"])
    body: str = case["body"]
    return body.encode()


@pytest.mark.parametrize("case", _cases("environment"))
def test_every_environment_is_read_as_the_vectors_say(case: dict[str, Any]) -> None:
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(InvalidEnvironment) as raised:
            read_environment(case["vars"])
        assert raised.value.code == expect["error"]
        assert expect["names"] in str(raised.value)
        return
    read = {
        name: value for name, value in read_environment(case["vars"]).items() if value is not None
    }
    profile = expect.pop("profile")
    assert ("attempt" in read) == (profile == "v1")
    assert read == expect


@pytest.mark.parametrize("case", _cases("signature"))
def test_every_request_is_signed_and_judged_as_the_vectors_say(case: dict[str, Any]) -> None:
    headers = case["headers"]
    if case["signs"]:
        assert (headers["X-Job-Id"], headers["X-Job-Time"]) == (case["id"], case["time"])
        if case["profile"] == "webda":
            assert headers["X-Job-Hash"] == sign_webda(case["key"], case["time"])
        else:
            signed = sign_v1(
                case["key"], case["id"], case["time"], case["method"], case["target"], _body(case)
            )
            assert (headers["X-Job-Hash"], headers["X-Job-Signature"]) == signed
    verdict = verify(
        case["key"] if case["attempt_key_known"] else None,
        case["id"],
        list(headers.items()),
        case["method"],
        case["target"],
        _body(case),
        now_ms=case["now_ms"],
        max_clock_skew_ms=case["max_clock_skew_ms"],
        require_signature=case["require_signature"],
    )
    assert (verdict or "accepted") == case["expect"]


@pytest.mark.parametrize("case", _cases("keys"))
def test_every_key_is_derived_as_the_vectors_say(case: dict[str, Any]) -> None:
    arguments = (bytes.fromhex(case["master_hex"]), case["id"], case["attempt"], case["nonce"])
    if "refused" in case["expect"]:
        with pytest.raises(ValueError, match=case["expect"]["refused"]):
            attempt_key(*arguments)
        return
    assert attempt_key(*arguments) == case["expect"]["key"]


@pytest.mark.parametrize("case", _cases("transitions"))
def test_every_status_follows_as_the_vectors_say(case: dict[str, Any]) -> None:
    assert status_after(case["from"], case["event"]) == case["to"]


def test_the_headers_of_the_original_are_signed_with_the_time_of_now(
    job_hook: object,
) -> None:
    import os

    headers = job_headers()
    assert headers == {
        "X-Job-Id": os.environ["JOB_ID"],
        "X-Job-Time": headers["X-Job-Time"],
        "X-Job-Hash": sign_webda(os.environ["JOB_SECRET_KEY"], headers["X-Job-Time"]),
    }
