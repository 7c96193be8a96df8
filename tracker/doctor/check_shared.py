"""Check whether a tracker can run on the shared store: reach, TLS, version, tables, rights, zone, clock,
seat.

Pure: it judges what `tracker.stores.shared_probe` found, and asks the server nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tracker.doctor.finding import Finding, Level
from tracker.doctor.spans import span
from tracker.status.protocol import is_loopback

if TYPE_CHECKING:
    from tracker.stores.shared_probe import StoreFacts

OLDEST_SERVER: Final = 15
_CLOCK_APART: Final = timedelta(seconds=5)
_ALIVE: Final = timedelta(minutes=1)
"""A seat seen within this time has a running tracker, which reports every 15 s."""


def check_store(
    facts: StoreFacts, *, seat: str, host: str, zone: str, accounts: Collection[str], now: datetime
) -> Iterator[Finding]:
    """Yield the findings about the store for a tracker on this seat, host and zone."""
    if facts.trouble:
        yield Finding(
            "shared_store",
            Level.FAULT,
            facts.trouble,
            "start the server or repair the way to it, or correct shared.url",
        )
        return
    yield _server(facts)
    yield _line(facts)
    if not facts.schema:
        found = f"{facts.name} has no alerts, or {facts.user} may not see them"
        step = "run `tracker store create` as the owner of the database, then grant this user tracker_seat"
        yield Finding("store_schema", Level.FAULT, found, step)
        return
    yield _schema(facts)
    yield _rights(facts)
    yield _zone(facts, zone)
    yield _clock(facts)
    yield _seat(facts, seat, host, now)
    yield from _accounts(facts, seat, accounts)


def _server(facts: StoreFacts) -> Finding:
    major, minor = divmod(facts.server_version, 10_000)
    found = f"{facts.name}, PostgreSQL {major}.{minor}, as {facts.user}"
    if major < OLDEST_SERVER:
        return Finding("shared_store", Level.FAULT, found, f"upgrade it: {OLDEST_SERVER} or newer is needed")
    if facts.is_replica:
        step = "name the primary in shared.url, or both with target_session_attrs=read-write"
        return Finding("shared_store", Level.FAULT, f"{found}: a replica, which accepts no writes", step)
    return Finding("shared_store", Level.OK, f"{found}; {facts.alerts} alerts, {facts.open_alerts} open")


def _line(facts: StoreFacts) -> Finding:
    check = "store_encryption"
    if not facts.address or is_loopback(facts.address):
        return Finding(check, Level.OK, "the connection stays on this machine")
    if not facts.encrypted:
        found = f"accounts and fills go to {facts.address} unencrypted"
        return Finding(check, Level.WARNING, found, "set sslmode=verify-full in shared.url")
    if not facts.verified:
        found = f"encrypted, but whether {facts.address} is the right server is not checked"
        return Finding(check, Level.WARNING, found, "set sslmode=verify-full in shared.url, with sslrootcert")
    return Finding(check, Level.OK, "encrypted, and the server's certificate is checked")


def _schema(facts: StoreFacts) -> Finding:
    check = "store_schema"
    found = f"version {facts.schema}"
    if facts.schema < facts.newest_schema:
        step = "run `tracker store create` as the owner of the database"
        return Finding(check, Level.FAULT, f"{found}; this tracker needs {facts.newest_schema}", step)
    if facts.schema > facts.newest_schema:
        newer = f"{found}, made by a newer tracker than this one"
        return Finding(check, Level.NOTE, newer, "upgrade this tracker when it suits you")
    return Finding(check, Level.OK, found)


def _rights(facts: StoreFacts) -> Finding:
    if facts.may_put and facts.lacking == facts.functions:
        found = f"{facts.user} may put alerts, as `tracker mirror` does, but not run a tracker"
        return Finding("store_rights", Level.NOTE, found, "nothing to do on a box that only mirrors")
    if facts.lacking:
        found = f"{facts.user} may not call {', '.join(facts.lacking)}"
        step = f"as the owner of the database: GRANT tracker_seat TO {facts.user}"
        return Finding("store_rights", Level.FAULT, found, step)
    return Finding("store_rights", Level.OK, f"{facts.user} may do what a tracker does")


def _zone(facts: StoreFacts, zone: str) -> Finding:
    if zone != facts.zone:
        found = f"stores.timezone is {zone or 'empty'} here, and {facts.zone} for all trackers of the store"
        return Finding("store_timezone", Level.FAULT, found, f'set stores.timezone to "{facts.zone}"')
    return Finding("store_timezone", Level.OK, f"{zone}, as for all trackers of the store")


def _clock(facts: StoreFacts) -> Finding:
    apart = abs(facts.clock_ahead)
    if apart > _CLOCK_APART:
        how = "ahead of" if facts.clock_ahead > timedelta(0) else "behind"
        found = f"the server's clock is {span(apart)} {how} this host's"
        return Finding("store_clock", Level.WARNING, found, "let both be set by NTP")
    return Finding("store_clock", Level.OK, "the server's clock and this host's agree")


def _seat(facts: StoreFacts, seat: str, host: str, now: datetime) -> Finding:
    check = "store_seat"
    found = facts.seats.get(seat)
    if found is None or not found.host:
        return Finding(check, Level.OK, f"{seat} is free; the first start takes it")
    ago = max(now + facts.clock_ahead - found.seen_at, timedelta(0))
    seen = f"{seat} is that of the tracker on {found.host}, last seen {span(ago)} ago"
    if found.host == host:
        return Finding(check, Level.OK, seen)
    if ago < _ALIVE:
        step = "set another shared.seat here: that one runs, and two on one seat write nothing together"
        return Finding(check, Level.FAULT, seen, step)
    step = f"if that box is gone, start with its journal, or run `tracker store free {seat}`"
    return Finding(check, Level.WARNING, seen, f"{step}; else set another shared.seat")


def _accounts(facts: StoreFacts, seat: str, accounts: Collection[str]) -> Iterator[Finding]:
    check = "store_accounts"
    others = {
        account: name for name, found in facts.seats.items() if name != seat for account in found.accounts
    }
    taken = {account: others[account] for account in accounts if account in others}
    for account, name in taken.items():
        host = facts.seats[name].host or "nobody's host"
        found = f"account {account} is counted by the tracker on {host} ({name})"
        step = f"leave it out of gateway.accounts, or run `tracker store free {name}` with --forget"
        yield Finding(check, Level.FAULT, found, step)
    if not accounts:
        found = "gateway.accounts is empty, so whether another tracker counts the same is not known"
        yield Finding(check, Level.NOTE, found, "a login with such an account would be refused")
    elif not taken:
        yield Finding(check, Level.OK, "no other tracker counts these accounts")
