"""Launching and watching, on a real server."""

from __future__ import annotations

from datetime import timezone
from decimal import Decimal
from typing import Any

import pytest
from conftest import BOUND_S, Server

from jobhook import (
    Action,
    InvalidSetting,
    InvalidValue,
    Launch,
    Launcher,
    LogLine,
    Refused,
    ServerAway,
    WaitTimeout,
)

ACTION = """
from jobhook import Job
with Job.from_env() as job:
    for number in job.progress(range(3), desc="counting"):
        job.log(f"line {number}")
    print("printed")
    job.results = {"n": 10 ** 30, "got": job.arguments["value"]}
"""


def test_an_action_is_launched_followed_and_shown(server: Server) -> None:
    launcher = server.launcher
    arguments = {"code": ACTION, "value": [1, 2.5, "é<&"]}
    action = launcher.launch("Python", arguments, attempts=2, timeout=60)
    assert action.arguments == arguments
    assert (action.type, action.attempts, action.closed) == ("Python", 2, False)
    seen = list(launcher.follow(action.uuid))
    lines = [it for it in seen if isinstance(it, LogLine)]
    assert [line.text for line in lines if line.source == "job"] == ["line 0", "line 1", "line 2"]
    assert [line.text for line in lines if line.source == "stdout"] == ["printed"]
    assert [line.number for line in lines] == [1, 2, 3, 4]
    last = seen[-1]
    assert isinstance(last, Action)
    assert last.closed
    assert last.is_final
    shown = launcher.show(action.uuid)
    assert shown.status == "SUCCESS"
    assert shown.results == {"n": 10**30, "got": [1, 2.5, "é<&"]}
    assert shown.status_details["message"] == "counting"
    assert shown.created_at.tzinfo == timezone.utc
    assert shown.started_at is not None
    assert shown.finished_at is not None
    assert shown.created_at <= shown.started_at <= shown.finished_at
    assert [attempt.outcome for attempt in shown.history] == ["success"]
    assert shown.witness is not None
    assert shown.witness.said == "SUCCESS"
    assert next(iter(launcher.follow(action.uuid, after=3))) == lines[3]


def test_many_are_launched_at_once_and_listed_page_by_page(server: Server) -> None:
    launches = [Launch("Python", {"code": "pass", "n": number}) for number in range(25)]
    actions = server.launcher.launch_many(launches)
    for action in actions:
        server.launcher.wait(action.uuid, timeout=BOUND_S)
    newest_first = [action.uuid for action in reversed(actions)]
    assert [it.uuid for it in server.launcher.list(status="SUCCESS")] == newest_first
    assert [it.uuid for it in server.launcher.list(limit=3)] == newest_first[:3]
    assert list(server.launcher.list(type="Other")) == []


def test_a_failed_action_says_what_went_wrong_and_can_be_launched_again(server: Server) -> None:
    action = server.launcher.launch("Python", {"code": "raise OSError('no disk')"})
    action = server.launcher.wait(action.uuid)
    assert (action.status, action.error_name) == ("ERROR", "exit_code")
    again = server.launcher.retry(action.uuid)
    assert again.retry_of == action.uuid
    server.launcher.wait(again.uuid)


def test_refusals_have_the_code_and_the_status_of_the_server(server: Server) -> None:
    launcher = server.launcher
    with pytest.raises(Refused) as raised:
        launcher.show("nobody")
    assert (raised.value.code, raised.value.status) == ("action_not_found", 404)
    with pytest.raises(Refused) as raised:
        launcher.launch("Python", attempts=0)
    assert (raised.value.code, raised.value.status) == ("invalid_field", 400)
    action = launcher.wait(launcher.launch("Python", {"code": "pass"}).uuid)
    with pytest.raises(Refused) as raised:
        launcher.cancel(action.uuid)
    assert (raised.value.code, raised.value.status) == ("already_final", 409)
    with pytest.raises(InvalidValue, match=r"arguments\.a cannot be reported: it is NaN"):
        launcher.launch("Python", {"a": float("nan")})


LONG = """
import sys
from jobhook import Job
sys.set_int_max_str_digits(0)
with Job.from_env() as job:
    job.results = 10 ** 5000
"""


def test_a_number_longer_than_python_reads_hides_no_action(server: Server) -> None:
    launcher = server.launcher
    uuid = launcher.launch("Python", {"code": LONG}).uuid
    *_, followed = launcher.follow(uuid)
    seen = [followed, launcher.wait(uuid), launcher.show(uuid), *launcher.list()]
    actions = [it for it in seen if isinstance(it, Action)]
    assert [it.results for it in actions] == [Decimal(10**5000)] * 4


def test_what_cannot_be_launched_or_asked_for_is_refused_by_its_name() -> None:
    # Nobody listens there.
    launcher = Launcher("http://127.0.0.1:1")
    for attempts in (-1, 1 << 40):
        with pytest.raises(InvalidSetting, match="`attempts`"):
            launcher.launch("Python", attempts=attempts)
        with pytest.raises(InvalidSetting, match="`attempts`"):
            launcher.launch_many([Launch("Python", attempts=attempts)])
    wrong: Any = 1.5
    with pytest.raises(TypeError, match=r"^`attempts`: 'float'"):
        launcher.launch("Python", attempts=wrong)
    with pytest.raises(TypeError, match=r"^`type`: 'float'"):
        launcher.launch(wrong)
    with pytest.raises(TypeError, match=r"^`type`: 'float'"):
        launcher.launch_many([Launch(wrong)])
    with pytest.raises(TypeError, match=r"^`id`: 'float'"):
        launcher.launch_operation(wrong)
    for ask, says in (
        (lambda: [*launcher.lines("x", after=-1)], "`after` is invalid: it is -1"),
        (lambda: [*launcher.follow("x", after=-1)], "`after` is invalid: it is -1"),
        (lambda: [*launcher.list(limit=-1)], "the limit is invalid: it is -1"),
        (lambda: [*launcher.files("x", property="output")], "must be inputs or outputs"),
        (lambda: launcher.download_all("x", property="output"), "must be inputs or outputs"),
    ):
        with pytest.raises(InvalidSetting, match=says):
            ask()


def test_a_wait_ends_when_its_time_is_over(server: Server) -> None:
    action = server.launcher.launch("Python", {"code": "import signal; signal.pause()"})
    with pytest.raises(WaitTimeout) as raised:
        server.launcher.wait(action.uuid, timeout=0.1)
    assert raised.value.code == "wait_timeout"
    assert action.uuid in str(raised.value)


def test_addresses_and_tokens_that_cannot_be_are_refused_and_no_token_is_shown() -> None:
    for url in ("nonsense", "ftp://h", "", "http://"):
        with pytest.raises(InvalidSetting):
            Launcher(url)
    for token in ("jh_sécret", "jh_se\ncret", "jh_se cret"):
        with pytest.raises(InvalidSetting) as raised:
            Launcher("http://h", token=token)
        assert "cret" not in str(raised.value)
    with pytest.raises(ServerAway) as away:
        Launcher("http://127.0.0.1:1").show("x")
    assert away.value.code == "no_answer"


def test_a_token_of_the_environment_goes_to_the_server_of_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setenv("JOBHOOK_TOKEN", "jh_not_for_everybody\u00ff\n")
    # It would be refused if it were looked at.
    assert list(Launcher(server.url).list()) == []
    monkeypatch.setenv("JOBHOOK_URL", server.url)
    with pytest.raises(InvalidSetting):
        Launcher()
    monkeypatch.delenv("JOBHOOK_TOKEN")
    assert list(Launcher().list()) == []
