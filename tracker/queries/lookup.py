"""Find the execution, the alert or the moment that a person means.

Owns how a typed name is read, and the words for a name that fits nothing or several things. It decides
nothing and changes nothing. All refusals are CommandError, with a message that says what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Final

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.model import Alert, AlertId
from tracker.core.state import ALERTS, EXECUTIONS, UNDECODED, LedgerState
from tracker.core.state_rows import AlertState, Attention, BookedExecution
from tracker.status.protocol import CommandError, quoted
from tracker.terminal import nearest

REASONS: Final = tuple(attention for attention in Attention if attention is not Attention.NONE)
"""The reasons why a fill may need a person."""
_DAYS: Final = re.compile(r"(\d{1,5})\s*d(ays?)?")
_DAY: Final = timedelta(days=1)
_DIGITS: Final = 15
"""The most digits of a number before and after its point; with more, arithmetic could take very long."""


def read_since(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment from which fills are wanted, aware UTC.

    `today`, `N days` (today and the N-1 days before it), or an ISO date or time; one without an offset is
    in `zone`, whose midnight begins a day. Raises CommandError.
    """
    words = " ".join(text.lower().split())
    local = now.astimezone(zone)
    found = _DAYS.fullmatch(words)
    try:
        if words == "today" or (found is not None and int(found[1]) > 0):
            back = int(found[1]) - 1 if found is not None else 0
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
            since = midnight - timedelta(days=back)
        else:
            since = datetime.fromisoformat(text.strip())
        return (since if since.tzinfo is not None else since.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            "bad_request",
            f"{quoted(text)} is not a time to begin at; write today, a number of days as in '7 days', a"
            " date as in 2025-11-18, or a time as in 2025-11-18T09:30",
        ) from None


def read_amount(name: str, text: str) -> Decimal:
    """Read a number above 0; raises CommandError, which calls the number `name`."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and value > 0 and -_DIGITS <= value.adjusted() < _DIGITS):
        raise CommandError("bad_request", f"{name} {quoted(text)} is not a number above 0")
    return value


def days_since(days: Iterable[str], since: datetime | None) -> list[str]:
    """Return those of the UTC days of receipt that can hold a fill executed since then.

    A fill is received after it happened, give or take the difference between two clocks.
    """
    first = "" if since is None else (since.astimezone(UTC) - _DAY).date().isoformat()
    return [day for day in days if day >= first]


def executions_named(state: LedgerState, exec_id: str, account: str = "") -> list[BookedExecution]:
    """Return the executions booked under an execId, one row per account; raises CommandError where there is
    none.
    """
    rows = [
        row
        for row in state.find(EXECUTIONS, "exec_id", exec_id.strip())
        if account in ("", row.execution.account)
    ]
    if not rows:
        for kept in state.find(UNDECODED, "open", "1"):
            if kept.exec_id == exec_id.strip():
                raise CommandError(
                    "undecodable",
                    f"execution {quoted(exec_id)} is kept as frame {kept.seq}, and nothing of it is counted:"
                    f" {kept.reason}; it is decided again when the tracker starts, so see its order in TWS",
                )
        where = f" in account {quoted(account)}" if account else ""
        raise CommandError(
            "not_found",
            f"no execution {quoted(exec_id)}{where} is in the journal; `tracker fills --since '7 days'` lists"
            " what is there",
        )
    return sorted(rows, key=lambda row: row.execution.account)


def execution_named(state: LedgerState, exec_id: str, account: str = "") -> BookedExecution:
    """Return the one execution with this execId; raises CommandError where several accounts have it."""
    return only_one(executions_named(state, exec_id, account))


def only_one(rows: Sequence[BookedExecution]) -> BookedExecution:
    """Return the one of these executions; raises CommandError where several accounts have it."""
    if len(rows) > 1:
        accounts = ", ".join(row.execution.account for row in rows)
        raise CommandError(
            "several_accounts",
            f"execution {quoted(rows[0].execution.exec_id)} filled in several accounts ({accounts}); say"
            f" which: --account {rows[0].execution.account}",
        )
    return rows[0]


def needing_decision(state: LedgerState) -> list[BookedExecution]:
    """Return the fills that need a person, oldest first."""
    rows = [row for reason in REASONS for row in state.find(EXECUTIONS, "inbox", reason.value)]
    return sorted(rows, key=listing_order)


def listing_order(row: BookedExecution) -> tuple[datetime, bool, int]:
    """Return the sort key of listed fills: by time, in a second what closes last, then as they came."""
    return row.moment.time, bool(row.closing), row.moment.seq


def item_number(state: LedgerState, row: BookedExecution) -> int:
    """Return the number of an execution's order in the inbox: the frame that brought its first fill.

    Frames are numbered once, so no number is ever used again.
    """
    return min(each.seq for each in order_rows(state, row))


def order_rows(state: LedgerState, row: BookedExecution) -> list[BookedExecution]:
    """Return the executions that are decided together with one, itself included, as they are listed."""
    rows = state.find(EXECUTIONS, "orders", row.order) if row.execution.perm_id > 0 else [row]
    return sorted(rows, key=listing_order)


def fill_meant(state: LedgerState, text: str, account: str = "", order: str = "") -> BookedExecution:
    """Return the fill named by its execId, by a number of the inbox, or by its order's permId.

    For an order it is the first fill that waits for a decision. Raises CommandError.
    """
    if order:
        found = [row for row in _waiting(state, account) if str(row.execution.perm_id) == order.strip()]
        missing = f"no order {quoted(order)} waits for a decision; `tracker inbox` shows the orders that do"
    elif is_alert_name(text):
        raise CommandError(
            "bad_request",
            f"{quoted(text)} names an alert where a fill comes first: its EXEC_ID, or the number of its"
            " order, as `tracker inbox` lists them",
        )
    elif not names_order(state, text):
        return execution_named(state, text, account)
    else:
        wanted = int(text)
        found = [row for row in _waiting(state, account) if item_number(state, row) == wanted]
        missing = f"no item {wanted} is in the inbox; it was settled, or `tracker inbox` shows another number"
    if not found:
        raise CommandError("not_found", missing)
    if len({item_number(state, row) for row in found}) > 1:
        numbers = ", ".join(str(each) for each in sorted({item_number(state, row) for row in found}))
        raise CommandError(
            "several_orders",
            f"order {quoted(order)} has several legs or accounts: name one by its number ({numbers})",
        )
    return found[0]


def names_order(state: LedgerState, text: str) -> bool:
    """Return whether a text is the number of an order in the inbox, and no execId."""
    return _is_number(text) and not state.find(EXECUTIONS, "exec_id", text.strip())


def _waiting(state: LedgerState, account: str) -> list[BookedExecution]:
    return [row for row in needing_decision(state) if account in ("", row.execution.account)]


def _is_number(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit() and len(text) < 19


def is_alert_name(text: str) -> bool:
    """Return whether a text is the name of an alert: an execId contains no slash."""
    return "/" in text


def same_name(alert: AlertId, text: str, names: AlerterNames) -> bool:
    """Return whether ALERTER/TICKER, in any spelling, names this record."""
    key = (names.key(alert.alerter), symbol_key(alert.ticker))
    return any((names.key(alerter), symbol_key(ticker)) == key for alerter, ticker in _splits(text))


def alerts_named(text: str, alerts: Iterable[AlertId], names: AlerterNames) -> list[AlertId]:
    """Return the records that ALERTER/TICKER names: those so written, else those in another spelling."""
    everything = list(alerts)
    exact = [alert for alert in everything if alert.name == text]
    return exact or [alert for alert in everything if same_name(alert, text, names)]


def alert_named(text: str, alerts: Sequence[Alert], names: AlerterNames) -> Alert:
    """Return the one alert of the store with this name; raises CommandError."""
    check_alert_name(text)
    found = alerts_named(text, (alert.id for alert in alerts), names)
    if not found:
        raise no_such_alert(text, (alert.id.name for alert in alerts), "in the alert store")
    if len(found) > 1:
        shown = ", ".join(alert.name for alert in found)
        raise CommandError(
            "several_alerts", f"{quoted(text)} may mean {shown}; write it as the store spells it"
        )
    return next(alert for alert in alerts if alert.id == found[0])


def check_alert_name(text: str) -> None:
    """Raise CommandError where this cannot name an alert."""
    if not any(True for _ in _splits(text)):
        raise CommandError(
            "bad_request",
            f"{quoted(text)} is not the name of an alert; write ALERTER/TICKER, as in robindahood/NVDA",
        )


def no_such_alert(text: str, known: Iterable[str], where: str) -> CommandError:
    """Return the refusal for an unknown name, with the nearest known one."""
    near = nearest(text, known, likeness=0.4)
    hint = f"; the nearest is {near}" if near else ""
    return CommandError("not_found", f"no alert {quoted(text)} is {where}{hint}")


def states_named(state: LedgerState, text: str, names: AlerterNames) -> list[AlertState]:
    """Return what the tracker knows of the records of that name, oldest first."""
    found = state.find(ALERTS, "name", text)
    if not found:
        found = [row for row in state.every(ALERTS) if same_name(row.alert, text, names)]
    return sorted(found, key=lambda row: row.alert.created_at)


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """Yield each reading of ALERTER/TICKER, since a ticker may hold a slash (`BRK/B`)."""
    for at, sign in enumerate(text):
        alerter, ticker = text[:at].strip(), text[at + 1 :].strip()
        if sign == "/" and alerter and ticker:
            yield alerter, ticker
