"""Check the gateway: by a login of our own, or by what the running tracker says of its link.

Pure. A running tracker holds the client id, so a second login would cut its link; it is asked instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from tracker.core.login_policy import LIVE, PAPER, kind_of, refusal
from tracker.doctor.finding import Finding, Level
from tracker.doctor.spans import span
from tracker.gateway.error_codes import planned_reset
from tracker.gateway.preflight_result import ClockReading, PreflightResult, Reach
from tracker.gateway.times import zone_named
from tracker.terminal import counted

DEFAULT_PORTS: Final = {4001: LIVE, 7496: LIVE, 4002: PAPER, 7497: PAPER}
"""The default ports of TWS and IB Gateway."""
SKEW_WARNING: Final = timedelta(seconds=5)
SKEW_FAULT: Final = timedelta(seconds=60)
_SERVER_TIME_STEP: Final = timedelta(seconds=1)
"""The resolution of the gateway's clock: it answers in whole seconds."""


def check_port(preflight: PreflightResult, host: str, port: int, *, now: datetime) -> Finding:
    """Check whether a TWS or Gateway listens where the settings say."""
    check, place = "gateway_port", f"{host}:{port}"
    match preflight.reach:
        case Reach.NOWHERE | Reach.SILENCE:
            cause, _, step = preflight.reason.partition("; ")
            step = step or "start TWS or IB Gateway and log in, or correct gateway.host and gateway.port"
            return Finding(check, Level.FAULT, _with_reset(cause, now), step)
        case Reach.STRANGER:
            cause = preflight.reason.partition("; ")[0]
            found = f"what listens on {place} is not TWS or IB Gateway: {cause}"
            return Finding(check, Level.FAULT, found, "correct gateway.host and gateway.port")
        case _:
            version = f", server version {preflight.server_version}" if preflight.server_version else ""
            return Finding(check, Level.OK, f"{place} is open and speaks the TWS protocol{version}")


def _with_reset(reason: str, now: datetime) -> str:
    reset = planned_reset(now)
    return f"{reason} (now is {reset})" if reset else reason


def check_login(preflight: PreflightResult, client_id: int) -> Finding:
    """Check the login under the configured client id, where the gateway answered at all."""
    check = "login"
    if preflight.reach is Reach.ID_TAKEN:
        return Finding(
            check,
            Level.FAULT,
            f"another session uses client id {client_id}; the gateway does not say whose it is",
            "end that program, or give one of the two another id (gateway.client_id, and with it the Master"
            " API client ID); after a dropped link the Gateway may hold an id for a minute",
        )
    if preflight.reach is not Reach.IN:
        cause, _, step = preflight.reason.partition("; ")
        step = step or "look at the Gateway's window: it may be asking a question, or not be logged in"
        return Finding(check, Level.FAULT, cause, step)
    if preflight.reason:
        step = "run this again; if that lasts, look at the Gateway's own log"
        found = f"the connection ended during the check: {preflight.reason}"
        return Finding(check, Level.WARNING, found, step)
    return Finding(check, Level.OK, f"logged in as client id {client_id}, and out again")


def check_account(
    accounts: Sequence[str], watched: Sequence[str], bound_to: str | None, port: int
) -> Finding:
    """Check whether this is the intended login: which accounts, paper or live, and which settings refuse any
    other.
    """
    check = "account"
    kind = kind_of(accounts)
    refused = refusal(accounts, watched, bound_to)
    if refused is not None:
        found, _, step = refused.partition("; ")
        return Finding(check, Level.FAULT, found, step)
    names = ", ".join(accounts)
    custom = DEFAULT_PORTS.get(port, kind)
    if custom != kind:
        return Finding(
            check,
            Level.WARNING,
            f"{kind} login ({names}) on port {port}, which is usually {custom}",
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
            f"{kind} login: {names}; any other login is accepted until the first start, which binds the"
            f" journal to {kind} fills",
            "name the accounts in gateway.accounts, so that any other login is refused",
        )
    return Finding(check, Level.OK, f"{kind} login: {names}; guarded by {' and '.join(guards)}")


def skew(clocked: ClockReading) -> tuple[timedelta, timedelta]:
    """Return how far the gateway's clock is ahead of ours, and how exactly that is known."""
    trip = clocked.answered_at - clocked.asked_at
    ahead = clocked.server_time + _SERVER_TIME_STEP / 2 - (clocked.asked_at + trip / 2)
    return ahead, _SERVER_TIME_STEP / 2 + trip / 2


def check_clock(clocked: ClockReading | None, early_fill: timedelta) -> Finding:
    """Check the clocks' difference: alerts are dated by this machine's, fills by the broker's.

    A fill may be up to `early_fill` older than its alert; a clock ahead of the broker's uses up that time.
    """
    check = "clock"
    if clocked is None:
        step = "compare this machine's clock with a time server"
        return Finding(check, Level.NOTE, "the gateway did not answer with its time", step)
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


def check_upstream(preflight: PreflightResult, *, now: datetime) -> Finding:
    """Check the gateway's own link to IBKR."""
    check = "ibkr_link"
    if not preflight.upstream:
        return Finding(check, Level.OK, "the gateway reports no trouble with IBKR")
    step = "wait, or look at the Gateway: fills made meanwhile arrive when the link is back"
    level = Level.NOTE if planned_reset(now) else Level.WARNING
    return Finding(check, level, _with_reset(preflight.upstream, now), step)


def check_master(preflight: PreflightResult, client_id: int) -> Finding:
    """Check whether this client id is the Master API client id, which the gateway never says.

    Fees of other clients' orders come to the master only, so such a fee proves it. Manual orders prove
    nothing, since client 0 may receive them anyway.
    """
    check = "master_client_id"
    see = f"check that Master API client ID is {client_id} in the Gateway's API settings"
    if preflight.of_others_with_fee:
        return Finding(check, Level.OK, f"it is {client_id}: fees of other clients' orders came")
    if preflight.of_others and preflight.executions_listed:
        found = (
            f"it is not {client_id}: no fee came with {counted(preflight.of_others, 'fill')} of other clients"
        )
        return Finding(check, Level.WARNING, found, f"set Master API client ID to {client_id} in the Gateway")
    found = "unknown until another client's first fill of the day"
    if not preflight.executions_listed:
        found = "unknown: the gateway's answer about the day's executions was cut short"
    return Finding(check, Level.NOTE, found, see)


def check_fees(preflight: PreflightResult, client_id: int) -> Finding:
    """Check whether fees will arrive."""
    check = "fees"
    count, paid = preflight.of_others, preflight.of_others_with_fee
    if paid:
        return Finding(check, Level.OK, f"received for {paid} of {counted(count, 'fill')} of other clients")
    if count and preflight.executions_listed:
        found = "missing for other programs' orders: only the Master API client receives them"
        return Finding(check, Level.NOTE, found, "see master_client_id above")
    step = f"set Master API client ID to {client_id} in the Gateway; otherwise `commission` stays null"
    return Finding(check, Level.NOTE, "unknown until the first fill", step)


def check_read_only(preflight: PreflightResult, *, binds: bool) -> Finding:
    """Check whether the Read-Only API is on, by what the gateway refuses."""
    check = "read_only_api"
    if preflight.read_only is None:
        found = "unknown: the gateway did not answer about completed orders"
        return Finding(check, Level.NOTE, found, "check that Read-Only API is on in its API settings")
    if not preflight.read_only:
        step = "switch it on, unless another program trades through this Gateway; the tracker never does"
        return Finding(check, Level.NOTE, "off: other programs can trade through this Gateway", step)
    if binds:
        step = "switch gateway.bind_manual_orders off, or the Read-Only API"
        return Finding(check, Level.WARNING, "on, and it refuses to bind orders by hand", step)
    return Finding(check, Level.OK, "on: no program can trade through this Gateway")


def check_manual_orders(client_id: int, *, binds: bool) -> Finding:
    """Check how orders made by hand in TWS arrive."""
    check = "manual_orders"
    if client_id != 0:
        step = "set gateway.client_id = 0 to receive them at once"
        found = f"client id {client_id} receives their fills with the sweeps only"
        return Finding(check, Level.NOTE, found, step)
    if binds:
        step = "switch gateway.bind_manual_orders off, unless their order ids are needed"
        return Finding(check, Level.NOTE, "they are bound to client 0, which changes them in TWS", step)
    return Finding(check, Level.OK, "client id 0 can receive their fills at once; none is bound")


def check_login_zone(greeting: str, zone: tzinfo, zone_name: str, *, now: datetime) -> Finding:
    """Check gateway.timezone by the zone in which the gateway greets, as `20251118 12:00:00 EST`.

    The zone decides when the account's day ends, and how execution times without a zone are read.
    """
    check = "login_zone"
    name = " ".join(greeting.split()[2:])
    theirs = zone_named(name) if name else None
    if theirs is None:
        found = (
            f"the gateway greets in the zone {name!r}, which is unknown"
            if name
            else "the gateway names no time zone"
        )
        step = "check that gateway.timezone is the zone that TWS was logged in with"
        return Finding(check, Level.NOTE, found, step)
    half_a_year = (now, now + timedelta(days=182))
    if all(at.astimezone(theirs).utcoffset() == at.astimezone(zone).utcoffset() for at in half_a_year):
        return Finding(check, Level.OK, f"{name}, which agrees with {zone_name}")
    found = f"the gateway was logged in with {name}; the settings read its times in {zone_name}"
    step = f'set gateway.timezone = "{theirs}": its days end in that zone, and times without a zone mean it'
    return Finding(check, Level.WARNING, found, step)


def check_preflight(
    preflight: PreflightResult,
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
    """Yield a finding for each thing that the login shows; everything that it did not reach is one
    finding.
    """
    yield check_port(preflight, host, port, now=now)
    if preflight.reach in (Reach.NOWHERE, Reach.SILENCE, Reach.STRANGER):
        yield _unknown("login, account, clock, IBKR, Master API client ID, Read-Only API, fees")
        return
    yield check_login(preflight, client_id)
    if preflight.reach is not Reach.IN:
        yield _unknown("account, clock, IBKR, Master API client ID, Read-Only API, fees")
        return
    yield check_account(preflight.accounts, watched, bound_to, port)
    yield check_clock(preflight.clocked, early_fill)
    yield check_login_zone(preflight.greeting, zone, zone_name, now=now)
    yield check_upstream(preflight, now=now)
    yield check_master(preflight, client_id)
    yield check_fees(preflight, client_id)
    yield check_manual_orders(client_id, binds=binds)
    yield check_read_only(preflight, binds=binds)


def _unknown(what: str) -> Finding:
    found = f"without a login, these cannot be checked: {what}"
    return Finding("not_known", Level.NOTE, found, "fix the fault above and run this again")


def check_running_tracker(
    status: Mapping[str, Any], *, client_id: int, watched: Sequence[str], binds: bool, host: str, port: int
) -> Iterator[Finding]:
    """Yield findings about the link from the answer to `status`; missing fields raise nothing."""
    link = _mapping(status, "link")
    used, named = str(_mapping(status, "setup").get("gateway", "")), f"{host}:{port}"
    if used and used != named:
        yield Finding(
            "gateway_port",
            Level.WARNING,
            f"the running tracker uses {used}; the settings name {named}, which is not checked",
            "restart the tracker if the settings are right, else correct gateway.host and gateway.port",
        )
    yield _link(link, subscribed=bool(status.get("subscribed")))
    accounts = [str(account) for account in link.get("accounts") or ()]
    if accounts:
        bound_to = _mapping(status, "journal").get("mode")
        yield check_account(accounts, watched, None if bound_to is None else str(bound_to), port)
    yield _fees(status, client_id)
    yield check_manual_orders(client_id, binds=binds)
    yield from _store_outage(status)
    yield Finding(
        "not_known",
        Level.NOTE,
        f"not checked, since the running tracker uses client id {client_id}: clock, login zone,"
        " Read-Only API",
        "to check them, stop the tracker and run this again",
    )


def _link(link: Mapping[str, Any], *, subscribed: bool) -> Finding:
    check = "login"
    state, reason = link.get("state", "unknown"), link.get("reason", "")
    if subscribed:
        return Finding(check, Level.OK, f"the running tracker receives fills: {reason}")
    if state in ("connecting", "syncing"):
        step = "run this again in a moment"
        return Finding(check, Level.NOTE, f"the running tracker is {state}: {reason}", step)
    step = "fix what the reason names; the tracker tries again by itself"
    return Finding(check, Level.FAULT, f"the running tracker receives no fills: {reason}", step)


def _fees(status: Mapping[str, Any], client_id: int) -> Finding:
    check = "fees"
    fills, pending = status.get("fills_today"), status.get("fees_pending")
    if not isinstance(fills, int) or not isinstance(pending, int) or not fills:
        step = f"set Master API client ID to {client_id} in the Gateway; otherwise `commission` stays null"
        return Finding(check, Level.NOTE, "unknown until the first fill", step)
    if pending >= fills:
        found = f"none came for the {counted(fills, 'fill')} of today"
        step = f"set Master API client ID to {client_id} in the Gateway, unless the fills came moments ago"
        return Finding(check, Level.WARNING, found, step)
    if pending:
        found = f"received, but still missing for {pending} of the {counted(fills, 'fill')} of today"
        return Finding(check, Level.OK, found)
    found = (
        f"all {fills} fills of today have their fees" if fills > 1 else "the one fill of today has its fee"
    )
    return Finding(check, Level.OK, found)


def _store_outage(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a fault for each thing that the tracker cannot do with the store right now."""
    away = _mapping(_mapping(status, "store"), "away")
    for verb, trouble in away.items():
        reason = trouble.get("reason", "") if isinstance(trouble, Mapping) else trouble
        step = "fix what the reason names; no fill is lost meanwhile"
        yield Finding("store", Level.FAULT, f"the alerts cannot be {verb}: {reason}", step)


def _mapping(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, Mapping) else {}
