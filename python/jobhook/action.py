"""Actions and their logs, as the management API shows them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .digits import loads

__all__ = ["Action", "ActionFile", "Attempt", "Back", "Cancel", "Gap", "LogLine", "Lost", "Witness"]


@dataclass(frozen=True)
class Cancel:
    """Who cancelled an action, and why.

    Attributes:
        at: When it was asked for.
        by: The name of the token, or `local`.
        reason: Why, in their words.
    """

    at: datetime
    by: str
    reason: str | None


@dataclass(frozen=True)
class Witness:
    """What an attempt said of itself and what its runner saw.

    Attributes:
        said: The last status that the job reported.
        saw: What became of its process, in words.
        disagree: Whether the two differ.
    """

    said: str | None
    saw: str | None
    disagree: bool


@dataclass(frozen=True)
class Attempt:
    """One attempt of an action. Times have a time zone.

    Attributes:
        attempt: Its number, from 1.
        runner: The runner that took it.
        claimed_at: When it was taken.
        started_at: When its job started.
        closed_at: When it was over and all its output stored.
        outcome: `success`, `error`, `timeout` or `cancelled`.
        failure: Whose fault it was: `code` or `infrastructure`.
        error_name: How it ended, for programs.
        error_message: How it ended, in a sentence.
        witness: What it said and what was seen.
    """

    attempt: int
    runner: str
    claimed_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    failure: str | None
    error_name: str | None
    error_message: str | None
    witness: Witness


@dataclass(frozen=True)
class Action:
    """An action as it was when the server was asked. Times have a time zone.

    Attributes:
        uuid: Its id.
        type: Which runner takes it.
        status: SCHEDULED, QUEUED, STARTING, RUNNING, SUCCESS, ERROR, TIMEOUT or CANCELLED; the
            last four are final.
        attempt: The attempt that is next, under way, or was the last; from 1.
        attempts: How many tries it has.
        closed: Whether the current attempt is over and all its output stored.
        lines: How many log lines were ever stored.
        lines_dropped: How many of the oldest were dropped to keep within the limits.
        arguments: What it was launched with.
        results: What the job made.
        error_name: What went wrong, for programs.
        error_message: What went wrong, for people.
        status_details: What the job says about itself; `progress` (0 to 100), `message`, `done`
            and `total` are known.
        retry_of: The action that this one runs again.
        history: Every attempt, oldest first; only where one action was asked for.
    """

    uuid: str
    type: str
    status: str
    attempt: int
    attempts: int
    closed: bool
    lines: int
    lines_dropped: int
    arguments: Any
    results: Any
    error_name: str | None
    error_message: str | None
    status_details: Any
    created_at: datetime
    scheduled: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel: Cancel | None
    retry_of: str | None
    witness: Witness | None
    history: tuple[Attempt, ...] = field(repr=False)

    @property
    def is_final(self) -> bool:
        """Whether its status is final."""
        return self.status in ("SUCCESS", "ERROR", "TIMEOUT", "CANCELLED")


@dataclass(frozen=True)
class ActionFile:
    """A file that an action was launched with or that it left.

    Attributes:
        property: `inputs` or `outputs`.
        index: Its number there, from 0.
        name: Its name, which is no path; `None` if it has none.
        mimetype: Its media type.
        size: How many bytes it has.
        md5: Of its content, in hex.
        sha256: Of its content, in hex.
        metadata: What else is known of it, any JSON object.
        attempt: Which attempt left it; `None` if it was launched with.
        created_at: When it was attached; it has a time zone.
    """

    property: str
    index: int
    name: str | None
    mimetype: str
    size: int
    md5: str
    sha256: str
    metadata: dict[str, Any]
    attempt: int | None
    created_at: datetime
    _text: str = field(repr=False, compare=False)


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes:
        number: Its place among all lines of the action, from 1, without a gap.
        time: When it was written, as near as is known.
        attempt: Which attempt said it, from 1.
        source: `job`, `stdout`, `stderr` or `server`.
        text: The line.
    """

    number: int
    time: datetime
    attempt: int
    source: str
    text: str


@dataclass(frozen=True)
class Gap:
    """So many lines were dropped before the next one."""

    lines: int


@dataclass(frozen=True)
class Lost:
    """The server is away, and is tried again."""

    reason: str


@dataclass(frozen=True)
class Back:
    """The server is back."""


def action_of(text: str) -> Action:
    """The action in the JSON of an answer."""
    return _action(loads(text))


def actions_of(text: str) -> list[Action]:
    """The actions in the JSON of an answer."""
    return [_action(found) for found in loads(text)]


def page_of(text: str) -> tuple[list[Action], str | None]:
    """The actions of a page of the list, and the cursor of the next page."""
    found = loads(text)
    return [_action(action) for action in found["actions"]], found.get("next")


def line_of(text: str) -> LogLine:
    """The line in the JSON of an event."""
    return _line(loads(text))


def lines_of(text: str) -> list[LogLine]:
    """The lines in the JSON of an answer."""
    return [_line(found) for found in loads(text)]


def files_of(text: str) -> tuple[list[ActionFile], str | None]:
    """The files of a page of a list, and the cursor of the next page."""
    found = loads(text)
    return [_file(file) for file in found["files"]], found.get("next")


def _action(found: dict[str, Any]) -> Action:
    cancel = found.get("cancel")
    witness = found.get("witness")
    return Action(
        uuid=found["uuid"],
        type=found["type"],
        status=found["status"],
        attempt=found["attempt"],
        attempts=found["attempts"],
        closed=found["closed"],
        lines=found["lines"],
        lines_dropped=found.get("linesDropped", 0),
        arguments=found.get("arguments"),
        results=found.get("results"),
        error_name=found.get("errorName"),
        error_message=found.get("errorMessage"),
        status_details=found.get("statusDetails"),
        created_at=_known_time(found["createdAt"]),
        scheduled=_time(found.get("scheduled")),
        started_at=_time(found.get("startedAt")),
        finished_at=_time(found.get("finishedAt")),
        cancel=None if cancel is None else _cancel(cancel),
        retry_of=found.get("retryOf"),
        witness=None if witness is None else _witness(witness),
        history=tuple(_attempt(attempt) for attempt in found.get("history", ())),
    )


def _attempt(found: dict[str, Any]) -> Attempt:
    return Attempt(
        attempt=found["attempt"],
        runner=found["runner"],
        claimed_at=_known_time(found["claimedAt"]),
        started_at=_time(found.get("startedAt")),
        closed_at=_time(found.get("closedAt")),
        outcome=found.get("outcome"),
        failure=found.get("failure"),
        error_name=found.get("errorName"),
        error_message=found.get("errorMessage"),
        witness=_witness(found["witness"]),
    )


def _cancel(found: dict[str, Any]) -> Cancel:
    return Cancel(_known_time(found["at"]), found["by"], found.get("reason"))


def _witness(found: dict[str, Any]) -> Witness:
    return Witness(found.get("said"), found.get("saw"), found.get("disagree", False))


def _line(found: dict[str, Any]) -> LogLine:
    return LogLine(
        number=found["number"],
        time=_known_time(found["time"]),
        attempt=found["attempt"],
        source=found["source"],
        text=found["text"],
    )


def _file(found: dict[str, Any]) -> ActionFile:
    return ActionFile(
        property=found["property"],
        index=found["index"],
        name=found.get("name"),
        mimetype=found["mimetype"],
        size=found["size"],
        md5=found["md5"],
        sha256=found["sha256"],
        metadata=found.get("metadata", {}),
        attempt=found.get("attempt"),
        created_at=_known_time(found["createdAt"]),
        # What it is downloaded by. Nobody looks at the metadata there, which may have a `Decimal`.
        _text=json.dumps(found, default=str),
    )


def _known_time(text: str) -> datetime:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _time(text: str | None) -> datetime | None:
    return None if text is None else _known_time(text)
