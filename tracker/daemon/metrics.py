"""Give the figures that a monitor draws, each with what it means.

Owns the names of the figures, their texts, and which part of the answer of `status` each reads;
`tracker/status/prometheus.py` writes them for Prometheus. It measures nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tracker.daemon.latency import FrameToFile
from tracker.gateway.link import LinkPhase

Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Figure:
    """Declare a figure; `read` returns a number, None where there is none now, or one number for each value
    of `label`."""

    help: str
    read: Callable[[Status], Any]
    label: str = ""


def _age(when: str | None, status: Status) -> float | None:
    """Return how many seconds before the status was made an instant was."""
    if when is None:
        return None
    return max(0.0, (datetime.fromisoformat(status["now"]) - datetime.fromisoformat(when)).total_seconds())


_FIGURES: Final[Mapping[str, _Figure]] = {
    "subscribed": _Figure(
        "Whether fills are received: the link is up and its first sweep was answered.",
        lambda status: status["subscribed"],
    ),
    "link_state": _Figure(
        "What the link to the Gateway is doing, 1 for the present state.",
        lambda status: {each.value: each.value == status["link"]["state"] for each in LinkPhase},
        label="state",
    ),
    "link_attempts": _Figure(
        "Attempts to connect since the last link that lasted, the present one included.",
        lambda status: status["link"]["attempts"],
    ),
    "last_frame_age_seconds": _Figure(
        "Seconds since the Gateway's last message.",
        lambda status: _age(status["link"]["last_frame_at"], status),
    ),
    "last_sweep_age_seconds": _Figure(
        "Seconds since the last request for the day's executions ended.",
        lambda status: _age(status["last_polled_at"], status),
    ),
    "last_sweep_timed_out": _Figure(
        "Whether the last request for the day's executions was not answered in full.",
        lambda status: status["link"]["last_sweep_timed_out"],
    ),
    "complete_until_age_seconds": _Figure(
        "Seconds since the time up to which no fill can be missing.",
        lambda status: _age(status["proven_until"], status),
    ),
    "fills_total": _Figure("Fills counted.", lambda status: status["stats"]["orders_processed"]),
    "fills_today": _Figure(
        "Fills of the accounts' present day; it falls to 0 at its midnight.",
        lambda status: status["fills_today"],
    ),
    "fees_pending": _Figure("Fills of today without their fee.", lambda status: status["fees_pending"]),
    "alerts_updated_total": _Figure(
        "Records of the alert store that were written.", lambda status: status["stats"]["alerts_updated"]
    ),
    "reapplied_total": _Figure(
        "Records that were written again because another program had undone the change.",
        lambda status: status["reapplied"],
    ),
    "needs_you": _Figure(
        "Fills, positions and deleted records that need a person, by reason.",
        lambda status: status["needs_you"],
        label="reason",
    ),
    "open_gaps": _Figure("Days on which fills may be missing.", lambda status: len(status["gaps"])),
    "undecodable": _Figure(
        "Messages that could not be used; they are kept.", lambda status: status["undecodable"]
    ),
    "undelivered": _Figure(
        "Updates that wait to be written to the alert store.", lambda status: status["store"]["undelivered"]
    ),
    "store_away": _Figure(
        "Whether the alert store cannot be read or written.", lambda status: bool(status["store"]["away"])
    ),
    "late_writes_merged_total": _Figure(
        "Writes of other programs into a file just replaced, which were merged.",
        lambda status: status["store"]["late_writes_merged"],
    ),
    "late_writes_lost_total": _Figure(
        "Such writes that were begun and never finished.", lambda status: status["store"]["late_writes_lost"]
    ),
    "clock_skew_seconds": _Figure(
        "How far this host's clock is ahead of the broker's.", lambda status: status["clock"]["skew_seconds"]
    ),
    "journal_bytes": _Figure("Size of the journal.", lambda status: status["journal"]["bytes"]),
    "log_lines_lost_total": _Figure(
        "Log lines that a reader or a disk did not take.", lambda status: status["log"]["lost"]
    ),
    "start_time_seconds": _Figure(
        "When the tracker was started, in seconds since 1970.",
        lambda status: datetime.fromisoformat(status["started_at"]).timestamp(),
    ),
    "build_info": _Figure(
        "1, with the tracker's version.", lambda status: {status["versions"]["tracker"]: 1}, label="version"
    ),
}
_NOTIFY: Final[Mapping[str, _Figure]] = {
    "notify_sent_total": _Figure("Messages to people sent.", lambda status: status["notify"]["sent"]),
    "notify_dropped_total": _Figure(
        "Messages to people dropped because too many waited.", lambda status: status["notify"]["dropped"]
    ),
    "notify_given_up_total": _Figure(
        "Messages to people that no service took within an hour.", lambda status: status["notify"]["given_up"]
    ),
    "notify_waiting": _Figure("Messages to people that wait.", lambda status: status["notify"]["waiting"]),
}
_HEARTBEAT: Final[Mapping[str, _Figure]] = {
    "heartbeat_sent_total": _Figure(
        "Calls of notify.heartbeat_url that succeeded.", lambda status: status["heartbeat"]["sent"]
    ),
    "heartbeat_failed_total": _Figure(
        "Calls of notify.heartbeat_url that failed.", lambda status: status["heartbeat"]["failed"]
    ),
    "heartbeat_withheld": _Figure(
        "Whether calls are withheld because capture is not proven.",
        lambda status: bool(status["heartbeat"]["withheld"]),
    ),
}


def metrics(status: Status, latency: FrameToFile, open_alerts: int) -> dict[str, Any]:
    """Return the figures of an answer of `status`, of how long fills took to the file, and of the store.

    `figures` has the numbers, nested by the values of the label that `labels` names; `help` has the texts.
    """
    declared = {
        **_FIGURES,
        **(_NOTIFY if status["notify"] else {}),
        **(_HEARTBEAT if status["heartbeat"] else {}),
    }
    figures = {name: figure.read(status) for name, figure in declared.items()}
    return {
        "figures": {**figures, "open_alerts": open_alerts},
        "labels": {name: figure.label for name, figure in declared.items() if figure.label},
        "histograms": {"fill_to_file_seconds": latency.histogram()},
        "help": {
            **{name: figure.help for name, figure in declared.items()},
            "open_alerts": "Alerts that the store shows open.",
            "fill_to_file_seconds": "From the broker's message to the synced file, each change of an alert.",
        },
    }
