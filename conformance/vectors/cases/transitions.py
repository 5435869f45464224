"""transitions.json: every status and every event.

The table says for each event what it moves and, for both outcomes, why.
"""

LIVE = ("SCHEDULED", "QUEUED", "STARTING", "RUNNING")
FINAL = ("SUCCESS", "ERROR", "TIMEOUT", "CANCELLED")
STUCK = {status: status for status in FINAL}


def underway(to):
    return {"STARTING": to, "RUNNING": to}


# event: (meaning, why it moves what it moves, why it is refused elsewhere, the moves)
EVENTS = {
    "due": ("its time has come", "the time of a scheduled action came", "only what is scheduled can become due",
            {"SCHEDULED": "QUEUED"}),
    "claimed": ("a runner took it", "one runner takes a queued action",
                "only what is queued can be taken; a second claim of the same action must fail", {"QUEUED": "STARTING"}),
    "refused": ("no runner takes it, or the runner would not start it, and no tries are left",
                "what nobody can run ends as ERROR", "once a job has started, or all is over, there is nothing to refuse",
                {"SCHEDULED": "ERROR", "QUEUED": "ERROR", "STARTING": "ERROR"}),
    "started": ("the runner saw the job start", "a quick job may have reported, or finished, before it was seen to start",
                "what no runner has taken cannot start", underway("RUNNING") | STUCK),
    "reported_running": ("the job said RUNNING", "the first word may come before the runner saw the start; repetition is fine",
                         "a job speaks only while its attempt is under way, and final states stick", underway("RUNNING")),
    "reported_success": ("the job said SUCCESS", "SUCCESS is final at once; a repeated report is safe",
                         "final states stick, and without an attempt no job speaks",
                         underway("SUCCESS") | {"SUCCESS": "SUCCESS"}),
    "reported_error": ("the job said ERROR on its last try", "without tries left ERROR is final at once; repetition is safe",
                       "final states stick, and without an attempt no job speaks", underway("ERROR") | {"ERROR": "ERROR"}),
    "reported_error_to_retry": ("the job said ERROR with tries left", "the attempt failed, the action lives on until the close",
                                "there is no next try for what has not begun or is over", underway("RUNNING")),
    "reported_error_after_cancel": ("the job said ERROR under the cancel mark", "who was told to stop and says ERROR was cancelled",
                                    "final states stick, and without an attempt no job speaks",
                                    underway("CANCELLED") | {"CANCELLED": "CANCELLED"}),
    "closed_success": ("the attempt closed, verdict SUCCESS", "the verdict decides unless the job already did",
                       "an attempt that never began cannot close", underway("SUCCESS") | STUCK),
    "closed_error": ("the attempt closed, verdict ERROR", "the verdict decides unless the job already did",
                     "an attempt that never began cannot close", underway("ERROR") | STUCK),
    "closed_timeout": ("the attempt closed, verdict TIMEOUT", "the verdict decides unless the job already did",
                       "an attempt that never began cannot close", underway("TIMEOUT") | STUCK),
    "closed_cancelled": ("the attempt closed, verdict CANCELLED", "the verdict decides unless the job already did",
                         "an attempt that never began cannot close", underway("CANCELLED") | STUCK),
    "closed_to_retry": ("the attempt closed, it failed and tries are left", "the next attempt is scheduled; what is final stays so",
                        "an attempt that never began cannot close", underway("SCHEDULED") | STUCK),
    "cancelled": ("it was cancelled before it started", "what has not started ends at once",
                  "on a started action cancel is a mark and no event; what is final cannot be cancelled",
                  {"SCHEDULED": "CANCELLED", "QUEUED": "CANCELLED"}),
    "expired": ("the queue or total timeout passed before the start", "what waits too long ends as TIMEOUT",
                "once taken, an attempt ends by its close", {"SCHEDULED": "TIMEOUT", "QUEUED": "TIMEOUT"}),
}


def transition_cases():
    cases = []
    for event, (_, allowed, refused, moves) in EVENTS.items():
        for status in LIVE + FINAL:
            to = moves.get(status)
            cases.append({"name": f"{event} while {status}", "from": status, "event": event, "to": to,
                          "why": allowed if to else refused})
    return cases


TRANSITIONS = {
    "what": "Every status and every event: the status that follows, or null where the event is illegal: docs/protocol.md, LIFE.",
    "statuses": {"live": list(LIVE), "final": list(FINAL)},
    "events": {event: {"meaning": meaning, "why": allowed} for event, (meaning, allowed, _, _) in EVENTS.items()},
}
