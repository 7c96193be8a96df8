"""Judge what a visit to the gateway heard. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

from tracker.core.login_policy import LIVE, PAPER, kind_of, refusal
from tracker.doctor.findings import Finding, Level
from tracker.doctor.spans import span
from tracker.gateway.error_codes import planned_reset
from tracker.gateway.preflight_result import Clocked, PreflightResult, Reach
from tracker.gateway.times import zone_named

CUSTOMARY: Final = {4001: LIVE, 7496: LIVE, 4002: PAPER, 7497: PAPER}
"""Ports as TWS and IB Gateway propose them."""
SKEW_WARNING: Final = timedelta(seconds=5)
SKEW_FAULT: Final = timedelta(seconds=60)
_TOLD_IN: Final = timedelta(seconds=1)
"""The gateway tells whole seconds."""


def judge_port(visited: PreflightResult, host: str, port: int, *, now: datetime) -> Finding:
    """Judge whether a TWS or Gateway listens where the settings say."""
    check, place = "gateway_port", f"{host}:{port}"
    match visited.reach:
        case Reach.NOWHERE | Reach.SILENCE:
            step = "start TWS or IB Gateway and log in, or correct gateway.host and gateway.port"
            if visited.reach is Reach.SILENCE:
                step = f"{step}; its API settings must trust this address"
            return Finding(check, Level.FAULT, _with_reset(visited.reason, now), step)
        case Reach.STRANGER:
            found = f"what listens on {place} is no TWS and no Gateway: {visited.reason}"
            return Finding(check, Level.FAULT, found, "correct gateway.host and gateway.port")
        case _:
            version = f", server version {visited.server_version}" if visited.server_version else ""
            return Finding(check, Level.OK, f"{place} is open and speaks the TWS protocol{version}")


def _with_reset(reason: str, now: datetime) -> str:
    reset = planned_reset(now)
    return f"{reason} (now is {reset})" if reset else reason


def judge_login(visited: PreflightResult, client_id: int) -> Finding:
    """Judge the login under the configured client id, where the gateway answered at all."""
    check = "login"
    if visited.reach is Reach.ID_TAKEN:
        return Finding(
            check,
            Level.FAULT,
            f"another session uses client id {client_id}; the gateway does not say whose it is",
            "end that program, or give one of the two another id (gateway.client_id, and with it the Master"
            " API client ID); after a dropped link the Gateway may hold an id for a minute",
        )
    if visited.reach is not Reach.IN:
        step = "look at the Gateway's window: it may ask a question, or wait for its login"
        return Finding(check, Level.FAULT, visited.reason, step)
    if visited.reason:
        step = "run this again; if that lasts, look at the Gateway's own log"
        return Finding(check, Level.WARNING, f"the link ended during the questions: {visited.reason}", step)
    return Finding(check, Level.OK, f"logged in as client id {client_id}, and out again")


def judge_account(
    accounts: Sequence[str], watched: Sequence[str], bound_to: str | None, port: int
) -> Finding:
    """Judge whether this is the login that was meant: which accounts, paper or live, and what guards it."""
    check = "account"
    kind = kind_of(accounts)
    refused = refusal(accounts, watched, bound_to)
    if refused is not None:
        found, _, step = refused.partition("; ")
        return Finding(check, Level.FAULT, found, step)
    names = ", ".join(accounts)
    custom = CUSTOMARY.get(port, kind)
    if custom != kind:
        return Finding(
            check,
            Level.WARNING,
            f"{kind} login ({names}) on port {port}, which is customarily {custom}",
            f"if {custom} was meant, log the Gateway in to it; gateway.accounts keeps other logins out",
        )
    guards = [
        *([f"the journal ({bound_to} fills)"] if bound_to else []),
        *(["gateway.accounts"] if watched else []),
    ]
    if not guards:
        return Finding(
            check,
            Level.NOTE,
            f"{kind} login: {names}; nothing guards that yet, the first start binds the journal to {kind}",
            "name the accounts in gateway.accounts, and any other login is refused",
        )
    return Finding(check, Level.OK, f"{kind} login: {names}; guarded by {' and '.join(guards)}")


def skew(clocked: Clocked) -> tuple[timedelta, timedelta]:
    """Return how far the gateway's clock is ahead of ours, and how exactly that is known."""
    trip = clocked.answered_at - clocked.asked_at
    ahead = clocked.server_time + _TOLD_IN / 2 - (clocked.asked_at + trip / 2)
    return ahead, _TOLD_IN / 2 + trip / 2


def judge_clock(clocked: Clocked | None, early_fill: timedelta) -> Finding:
    """Judge the clocks' difference: alerts are dated by this machine's, fills by the broker's.

    A fill may be `early_fill` older than its alert; a clock that goes ahead of the broker's eats that up.
    """
    check = "clock"
    if clocked is None:
        step = "compare this machine's clock with a time server"
        return Finding(check, Level.NOTE, "the gateway did not tell its time", step)
    ahead, within = skew(clocked)
    surely = abs(ahead) - within
    if surely <= SKEW_WARNING:
        found = f"agrees with the gateway's within {(abs(ahead) + within).total_seconds():.1f} s"
        return Finding(check, Level.OK, found)
    word = "ahead of" if ahead > timedelta() else "behind"
    found = f"the gateway's clock is {span(ahead)} {word} this machine's"
    level = Level.FAULT if surely >= min(SKEW_FAULT, early_fill or SKEW_FAULT) else Level.WARNING
    step = "set both clocks by a time server (timedatectl set-ntp true)"
    if level is Level.FAULT:
        step += ": fills may miss their alerts by their times"
    return Finding(check, level, found, step)


def judge_upstream(visited: PreflightResult, *, now: datetime) -> Finding:
    """Judge the gateway's own link to IBKR."""
    check = "ibkr_link"
    if not visited.upstream:
        return Finding(check, Level.OK, "the gateway reports no trouble with IBKR")
    step = "wait, or look at the Gateway: fills of meanwhile come when the link is back"
    level = Level.NOTE if planned_reset(now) else Level.WARNING
    return Finding(check, level, _with_reset(visited.upstream, now), step)


def judge_master(visited: PreflightResult, client_id: int) -> Finding:
    """Judge whether this client id is the Master API client id, which the gateway tells nobody.

    Fees of other clients' orders come to the master only, so a fee that came proves it; orders by hand prove
    nothing, since client 0 may be told of them anyway.
    """
    check = "master_client_id"
    see = f"see that Master API client ID is {client_id} in the Gateway's API settings"
    if visited.of_others_with_fee:
        return Finding(check, Level.OK, f"it is {client_id}: fees of other clients' orders came")
    if visited.of_others and visited.executions_listed:
        found = f"it is not {client_id}: no fee came with {_fills(visited.of_others)} of other clients"
        return Finding(check, Level.WARNING, found, f"set Master API client ID to {client_id} in the Gateway")
    found = "cannot be told before another client's first fill of the day"
    if not visited.executions_listed:
        found = "cannot be told: the gateway did not end its answer about the day's executions"
    return Finding(check, Level.NOTE, found, see)


def judge_fees(visited: PreflightResult, client_id: int) -> Finding:
    """Say whether fees will be seen."""
    check = "fees"
    count, paid = visited.of_others, visited.of_others_with_fee
    if paid:
        return Finding(check, Level.OK, f"seen: {paid} of {_fills(count)} of other clients have theirs")
    if count and visited.executions_listed:
        found = "of other programs' orders will not be seen: only the Master API client is told them"
        return Finding(check, Level.NOTE, found, "see master_client_id above")
    step = f"they come if Master API client ID is {client_id}; else `commission` stays null"
    return Finding(check, Level.NOTE, "whether they come cannot be told before a fill", step)


def _fills(count: int) -> str:
    return f"{count} fill" if count == 1 else f"{count} fills"


def judge_read_only(visited: PreflightResult, *, binds: bool) -> Finding:
    """Judge the Read-Only API, which shows by what it refuses."""
    check = "read_only_api"
    if visited.read_only is None:
        found = "cannot be told: the gateway did not answer about completed orders"
        return Finding(check, Level.NOTE, found, "see that Read-Only API is on in its API settings")
    if not visited.read_only:
        step = "switch it on, unless another program trades through this Gateway; the tracker never does"
        return Finding(check, Level.NOTE, "off: other programs may trade through this Gateway", step)
    if binds:
        step = "switch gateway.bind_manual_orders off, or the Read-Only API"
        return Finding(check, Level.WARNING, "on, and it refuses to bind orders by hand", step)
    return Finding(check, Level.OK, "on: no program can trade through this Gateway")


def judge_manual_orders(client_id: int, *, binds: bool) -> Finding:
    """Say how orders made by hand in TWS are seen."""
    check = "manual_orders"
    if client_id != 0:
        step = "gateway.client_id = 0 is told of them as they come"
        return Finding(check, Level.NOTE, f"client id {client_id} finds their fills by the sweeps only", step)
    if binds:
        step = "switch gateway.bind_manual_orders off, unless their order ids are needed"
        return Finding(check, Level.NOTE, "they are bound to client 0, which shows in TWS", step)
    return Finding(check, Level.OK, "client id 0 may be told of them as they come; none is bound")


def judge_login_zone(greeting: str, zone: tzinfo, zone_name: str, *, now: datetime) -> Finding:
    """Judge gateway.timezone by the zone in which the gateway greets, as `20251118 12:00:00 EST`.

    It says where the account's day ends, and how execution times without a zone are read.
    """
    check = "login_zone"
    name = " ".join(greeting.split()[2:])
    theirs = zone_named(name) if name else None
    if theirs is None:
        found = f"the gateway greets in the zone {name!r}, which is unknown" if name else "not told"
        step = "see that gateway.timezone is the zone that TWS was logged in with"
        return Finding(check, Level.NOTE, found, step)
    half_a_year = (now, now + timedelta(days=182))
    if all(at.astimezone(theirs).utcoffset() == at.astimezone(zone).utcoffset() for at in half_a_year):
        return Finding(check, Level.OK, f"{name}, which agrees with {zone_name}")
    found = f"the gateway was logged in with {name}, and is read in {zone_name}"
    step = f'set gateway.timezone = "{theirs}": the day ends there, and times without a zone are its own'
    return Finding(check, Level.WARNING, found, step)


def judge_visit(
    visited: PreflightResult,
    *,
    host: str,
    port: int,
    client_id: int,
    watched: Sequence[str],
    binds: bool,
    bound_to: str | None,
    early_fill: timedelta,
    zone: tzinfo,
    zone_name: str,
    now: datetime,
) -> Iterator[Finding]:
    """Yield all that one visit tells; what it did not come to is one note."""
    yield judge_port(visited, host, port, now=now)
    if visited.reach in (Reach.NOWHERE, Reach.SILENCE, Reach.STRANGER):
        yield _unknown("login, account, clock, IBKR, Master API client id, Read-Only API, fees")
        return
    yield judge_login(visited, client_id)
    if visited.reach is not Reach.IN:
        yield _unknown("account, clock, IBKR, Master API client id, Read-Only API, fees")
        return
    yield judge_account(visited.accounts, watched, bound_to, port)
    yield judge_clock(visited.clocked, early_fill)
    yield judge_login_zone(visited.greeting, zone, zone_name, now=now)
    yield judge_upstream(visited, now=now)
    yield judge_master(visited, client_id)
    yield judge_fees(visited, client_id)
    yield judge_manual_orders(client_id, binds=binds)
    yield judge_read_only(visited, binds=binds)


def _unknown(what: str) -> Finding:
    return Finding("not_known", Level.NOTE, f"{what}: not known before a login", "mend the fault above")
