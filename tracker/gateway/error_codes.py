"""What the gateway's error codes and failures mean for the link, in plain words.

Owns the table of codes that concern the link, IBKR's planned resets, the newest server version that can be
read, and the reasons why a connection failed. It never acts; `connection.py` does.
"""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime, time, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_IBKR: Final = ZoneInfo("America/New_York")
_FRIDAY: Final = 4
_SATURDAY: Final = 5

NEWEST_SERVER_VERSION: Final = 176
"""The newest version that ib_insync 0.9.86 requests and `normalise` reads; later ones move fields (error:
194).
"""


class Effect(Enum):
    """Say what a notice does to the link."""

    NONE = auto()
    UPSTREAM_LOST = auto()
    """The gateway has lost IBKR; the socket to it stays up, and fills may happen meanwhile."""
    UPSTREAM_BACK = auto()
    MOVED = auto()
    ENDED = auto()


_EFFECTS: Final = {
    1100: Effect.UPSTREAM_LOST,
    2110: Effect.UPSTREAM_LOST,
    1101: Effect.UPSTREAM_BACK,
    1102: Effect.UPSTREAM_BACK,
    1300: Effect.MOVED,
    326: Effect.ENDED,
    502: Effect.ENDED,
    504: Effect.ENDED,
    507: Effect.ENDED,
}

_WORDS: Final = {
    1100: "the gateway lost its link to IBKR (1100) and reconnects by itself",
    2110: "the gateway lost its link to IBKR (2110) and reconnects by itself",
    1101: "the link to IBKR is back (1101, data lost); fetching the day's fills again",
    1102: "the link to IBKR is back (1102); fetching the day's fills again",
    502: "the gateway cannot be reached (502)",
    504: "the gateway says that it is not connected (504)",
    507: "the gateway ended the connection over a bad message (507), often a client id that is in use",
}


def effect_of(code: int) -> Effect:
    """Return what a notice's code does to the link."""
    return _EFFECTS.get(code, Effect.NONE)


def words_for(code: int, text: str, client_id: int) -> str:
    """Return the reason that a notice gives, in plain words; the gateway's own text where we have none."""
    if code == 326:
        return f"client id {client_id} is in use by another session"
    if code == 1300:
        port = new_port(text)
        return (
            f"the gateway moved its API to port {port} (1300)" if port else "the gateway moved its API (1300)"
        )
    return _WORDS.get(code, f"{text[:200]} ({code})")


def new_port(text: str) -> int | None:
    """Read the port from the text of 1300; None where it names none."""
    ports = [int(digits) for digits in re.findall(r"\d{2,5}", text, re.ASCII)]
    return next((port for port in reversed(ports) if 0 < port < 65536), None)


def planned_reset(now: datetime) -> str:
    """Name the planned reset of IBKR at the moment `now` (aware); empty if there is none."""
    local = now.astimezone(_IBKR)
    clock, weekday = local.time(), local.weekday()
    if (weekday == _FRIDAY and clock >= time(23)) or (weekday == _SATURDAY and clock < time(3)):
        return "IBKR's weekly reset, Friday 23:00 to Saturday 03:00 US/Eastern"
    if clock >= time(23, 45) or clock < time(0, 45):
        return "IBKR's nightly reset, 23:45 to 00:45 US/Eastern"
    return ""


class Reset(NamedTuple):
    """Hold one planned reset of IBKR; times are aware UTC."""

    name: str
    begins: datetime
    ends: datetime


def next_resets(now: datetime) -> tuple[Reset, Reset]:
    """Return the next or current nightly and weekly reset; `now` is aware."""
    today = now.astimezone(_IBKR).replace(hour=0, minute=0, second=0, microsecond=0)

    def reset(name: str, day: datetime, begins: time, ends: time) -> Reset:
        # By the local clock, so that a change to or from summer time is included.
        first = day.replace(hour=begins.hour, minute=begins.minute).astimezone(UTC)
        then = day + timedelta(days=1)
        return Reset(name, first, then.replace(hour=ends.hour, minute=ends.minute).astimezone(UTC))

    days = [today + timedelta(days=number) for number in range(-1, 9)]
    nights = [reset("nightly", day, time(23, 45), time(0, 45)) for day in days]
    weeks = [reset("weekly", day, time(23), time(3)) for day in days if day.weekday() == _FRIDAY]
    nightly, weekly = (next(each for each in of if each.ends > now) for of in (nights, weeks))
    return nightly, weekly


def unreadable_version(server_version: int) -> str:
    """Return why a server version cannot be used; empty where it can."""
    if server_version <= NEWEST_SERVER_VERSION:
        return ""
    return (
        f"the gateway answers at server version {server_version}, and was asked for {NEWEST_SERVER_VERSION}"
        " at most, so its messages would be misread; use a TWS or IB Gateway that keeps to the version that"
        " it is asked for"
    )


def why_not_connected(error: BaseException, host: str, port: int, *, sent: bool, answered: bool) -> str:
    """Return why there was no login: the cause and, after `; `, what to check where it is known.

    `sent`: the TCP connection was made; `answered`: the peer sent something.
    """
    place = f"{host}:{port}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {place}; start TWS or IB Gateway, or set its API port to {port}"
    if isinstance(error, socket.gaierror):
        return f"the host name {host} cannot be resolved; correct gateway.host"
    if isinstance(error, TimeoutError):
        if not sent:
            return f"{place} does not answer; check gateway.host, and that no firewall is in between"
        if not answered:
            return (
                f"{place} accepts but says nothing; check that it is the API port, and that this machine's"
                " address is among the trusted IPs"
            )
        return (
            f"{place} does not finish the login; look at TWS or IB Gateway, which may be asking a question or"
            " not be logged in"
        )
    if isinstance(error, OSError):
        return f"{place} cannot be reached: {error.strerror or error}"
    return f"{place}: {type(error).__name__}: {error}"
