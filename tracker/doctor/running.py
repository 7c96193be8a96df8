"""Judge the gateway by what a running tracker says, since its client id is taken by it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracker.doctor.check_gateway import judge_account, judge_manual_orders
from tracker.doctor.findings import Finding, Level


def judge_running(
    status: Mapping[str, Any], *, client_id: int, watched: Sequence[str], binds: bool, port: int
) -> Iterator[Finding]:
    """Yield what the answer to `status` tells of the link; raises nothing for fields that are missing."""
    link = _mapping(status, "link")
    yield _link(link, subscribed=bool(status.get("subscribed")))
    accounts = [str(account) for account in link.get("accounts") or ()]
    if accounts:
        bound_to = _mapping(status, "journal").get("mode")
        yield judge_account(accounts, watched, None if bound_to is None else str(bound_to), port)
    yield _fees(status, client_id)
    yield judge_manual_orders(client_id, binds=binds)
    yield from _trouble(status)
    yield Finding(
        "not_known",
        Level.NOTE,
        f"clock, login zone, Read-Only API: not asked, since the tracker holds client id {client_id}",
        "stop the tracker and run this again, if that is in doubt",
    )


def _link(link: Mapping[str, Any], *, subscribed: bool) -> Finding:
    check = "login"
    state, reason = link.get("state", "unknown"), link.get("reason", "")
    if subscribed:
        return Finding(check, Level.OK, f"the running tracker receives fills: {reason}")
    if state in ("connecting", "syncing"):
        step = "run this again in a moment"
        return Finding(check, Level.NOTE, f"the running tracker is {state}: {reason}", step)
    step = "mend what that says; the tracker tries again by itself"
    return Finding(check, Level.FAULT, f"the running tracker receives no fills: {reason}", step)


def _fees(status: Mapping[str, Any], client_id: int) -> Finding:
    check = "fees"
    fills, pending = status.get("fills_today"), status.get("fees_pending")
    if not isinstance(fills, int) or not isinstance(pending, int) or not fills:
        step = f"they come if Master API client ID is {client_id}; else `commission` stays null"
        return Finding(check, Level.NOTE, "whether they come cannot be told before a fill", step)
    if pending >= fills:
        found = f"none came for the {fills} fills of today"
        step = f"set Master API client ID to {client_id} in the Gateway, unless the fills are quite new"
        return Finding(check, Level.WARNING, found, step)
    return Finding(check, Level.OK, f"seen: of {fills} fills today {pending} still wait for theirs")


def _trouble(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a fault for each thing that the tracker cannot do with the store right now."""
    away = _mapping(_mapping(status, "store"), "away")
    for verb, trouble in away.items():
        reason = trouble.get("reason", "") if isinstance(trouble, Mapping) else trouble
        step = "mend what that says; nothing is lost meanwhile"
        yield Finding("store", Level.FAULT, f"the alerts cannot be {verb}: {reason}", step)


def _mapping(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, Mapping) else {}
