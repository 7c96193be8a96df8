"""Try what a made-up fill would do: with the real candidates and rules, in an empty ledger, nothing written.

Owns how the made-up fill is read, its execution and the answer. It never changes the live file or the
journal; a copy with the changes is made from the file's text, beside it, if asked for.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Final

from tracker.core.alert_updates import ClosingPolicy, number
from tracker.core.alerters import AlerterNames
from tracker.core.expiry import read_expiry
from tracker.core.ledger import Ledger
from tracker.core.matching import match_execution
from tracker.core.model import (
    LIVE,
    Alert,
    AlertUpdate,
    Ambiguous,
    Contract,
    Execution,
    ExpiryKind,
    Frame,
    Match,
    Matched,
    OpenOrder,
    Side,
    Source,
)
from tracker.core.ports import AlertStore
from tracker.core.state import OUTBOX, MemoryLedgerState
from tracker.queries.as_json import Json, contract_json, decision_json, update_json
from tracker.queries.lookup import read_amount
from tracker.status.protocol import CommandError, quoted
from tracker.stores.alert_file import AlertFile

_ACCOUNT: Final = "TEST"
_EXEC_ID: Final = "test"
_OPTION: Final = ("strike", "right", "expiry")
_RIGHTS: Final = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}
_FRIDAY: Final = 4
_STATUS: Final = {Matched: "would_open", Ambiguous: "ambiguous"}


@dataclass(frozen=True, slots=True)
class MadeUpFill:
    """Describe the fill to try: a stock's, or with strike, right and expiry an option's."""

    symbol: str
    side: Side = Side.BUY
    quantity: Decimal = Decimal(1)
    strike: Decimal | None = None
    right: str = ""
    expiry: date | None = None
    con_id: int = 0
    order_ref: str = ""
    chosen: str = ""
    """What neither the person nor the alert said about the contract, in words."""

    def execution(self, now: datetime) -> Execution:
        """Return the execution as the broker would report it, with a fee of 1.00."""
        is_option = self.strike is not None
        contract = Contract(
            self.con_id,
            self.symbol,
            "OPT" if is_option else "STK",
            self.expiry,
            self.strike,
            self.right,
            "100" if is_option else "",
            trading_class=self.symbol,
        )
        return Execution(
            exec_id=_EXEC_ID,
            account=_ACCOUNT,
            contract=contract,
            side=self.side,
            quantity=self.quantity,
            price=Decimal(1),
            time=now,
            time_text="",
            time_known=True,
            perm_id=1,
            order_id=1,
            client_id=0,
            cum_qty=self.quantity,
            avg_price=Decimal(1),
            order_ref=self.order_ref,
            request_id=LIVE,
        )


@dataclass(frozen=True, slots=True)
class DryRun:
    """Hold what a fill would do: the decision, and what each record would show."""

    made_up: MadeUpFill
    execution: Execution
    match: Match
    updates: tuple[AlertUpdate, ...]


def dry_run(
    made_up: MadeUpFill,
    candidates: Callable[[Execution], Sequence[Alert]],
    *,
    names: AlerterNames,
    early_fill: timedelta,
    policy: ClosingPolicy,
    now: datetime,
) -> DryRun:
    """Match a made-up fill against the store's candidates, and apply it to an empty ledger."""
    execution = made_up.execution(now)
    match = match_execution(execution, candidates(execution), early_fill=early_fill, names=names)
    state = MemoryLedgerState()
    ledger = Ledger(state, lambda execution, now: match, policy=policy)
    frame = Frame(1, now, 1, Source.BROKER, ("11",))
    # The fill is the whole order, so the order shows as filled.
    order = OpenOrder(
        *(execution.order_id, execution.client_id, execution.perm_id, execution.account, execution.contract),
        *(execution.side.value, execution.quantity, execution.order_ref, "Submitted"),
    )
    ledger.apply(frame, order)
    ledger.apply(frame, execution)
    ledger.settle(frame)
    updates = sorted((row.update for row in state.every(OUTBOX)), key=lambda update: update.alert.name)
    return DryRun(made_up, execution, match, tuple(updates))


def dry_run_json(found: DryRun, copy: Path | None) -> Json:
    """Return the answer; `payload` is what the first alert would show, `opens` what each would show."""
    execution = found.execution
    rules = dict(found.match.alerts) if isinstance(found.match, Matched) else {}
    opens = [
        {**update_json(update), "rule": rules[update.alert].value if update.alert in rules else None}
        for update in found.updates
    ]
    return {
        "status": _STATUS.get(type(found.match), "no_match"),
        "payload": opens[0] if opens else None,
        "opens": opens,
        **decision_json(found.match),
        "tried": {
            **contract_json(execution.contract),
            "side": execution.side.value,
            "quantity": number(execution.quantity),
            "price": number(execution.price),
            "order_ref": execution.order_ref or None,
        },
        "assumed": "an opening fill; what the account already holds is ignored" + found.made_up.chosen,
        "copy": None if copy is None else str(copy),
    }


def write_copy(
    path: Path,
    updates: Sequence[AlertUpdate],
    *,
    zone: tzinfo,
    now: Callable[[], datetime],
    text: str | None = None,
) -> Path:
    """Write a copy of alerts.json, or of a text in its place, with the updates applied, beside it.

    Returns the path of the copy.
    Raises CommandError where there is nothing to copy or nowhere to write, StoreUnavailable where the file
    cannot be read as alerts right now. Each copy has a name of its own.
    """
    copy = path.with_name(f"{path.name}.test-{now():%Y%m%dT%H%M%S%f}Z")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tracker-test-") as folder:
            scratch = Path(folder) / path.name
            if text is None:
                shutil.copy(path, scratch)
            else:
                scratch.write_text(text)
            store = AlertFile(scratch, zone=zone, now=now)
            try:
                store.apply(updates)
            finally:
                store.close()
            scratch.rename(copy)
    except OSError as error:
        raise CommandError(
            "not_written", f"no copy of {path} could be written beside it: {error.strerror or error}"
        ) from None
    return copy


def whole_text(store: AlertStore) -> str:
    """Return the records of a store as an alerts.json of its own."""
    found: dict[str, dict[str, object]] = {}
    for alert in store.alerts():
        record = store.record(alert.id)
        if record is not None:
            found.setdefault(alert.id.alerter, {})[alert.id.ticker] = json.loads(record)
    return json.dumps(found, indent=2)


def read_made_up_fill(given: Mapping[str, object], alert: Alert | None, today: date) -> MadeUpFill:
    """Read the made-up fill that a person typed; raises CommandError.

    Keys: symbol; side BUY or SELL; quantity; strike, right (C or P) and expiry (as an alert's), all three or
    none; con_id; order_ref. A key that is absent, None or empty is taken from the alert, else has its
    default. Where an option's alert names no day, the next Friday is taken, `today` included.
    """
    texts = {name: str(value).strip() for name, value in given.items() if value not in (None, "")}
    chosen = ""
    if alert is not None:
        # The alert's conid would override what the person typed.
        same = not any(name in texts for name in ("symbol", *_OPTION))
        texts = {**_contract_of(alert, with_con_id=same), **texts}
        if alert.is_option and "expiry" not in texts:
            friday = _friday(alert, today)
            texts["expiry"] = f"{friday:%Y%m%d}"
            chosen = f"; the alert names no day of expiry, so {friday} was taken"
    if not texts.get("symbol"):
        raise CommandError(
            "bad_request", "no symbol is given; name one, as in --symbol TSLA, or an alert with --alert"
        )
    option = [name for name in ("strike", "right", "expiry") if name in texts]
    if option and len(option) < len(_OPTION):
        missing = [name for name in _OPTION if name not in option]
        raise CommandError(
            "bad_request",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; an option has strike,"
            " right and expiry, a stock none of them",
        )
    right = _RIGHTS.get(texts.get("right", "").upper(), "")
    if option and not right:
        raise CommandError("bad_request", f"right {quoted(texts['right'])} is neither C nor P")
    side = texts.get("side", "BUY").upper()
    if side not in ("BUY", "SELL"):
        raise CommandError("bad_request", f"side {quoted(texts['side'])} is neither BUY nor SELL")
    return MadeUpFill(
        symbol=texts["symbol"].upper(),
        side=Side(side),
        quantity=read_amount("quantity", texts.get("quantity", "1")),
        strike=read_amount("strike", texts["strike"]) if option else None,
        right=right,
        expiry=_day(texts["expiry"]) if option else None,
        con_id=int(read_amount("con_id", texts["con_id"])) if "con_id" in texts else 0,
        order_ref=texts.get("order_ref", ""),
        chosen=chosen,
    )


def _contract_of(alert: Alert, *, with_con_id: bool) -> dict[str, str]:
    """Return what an alert says about its contract, as a person would type it."""
    day = alert.expiry.day if alert.expiry.kind is ExpiryKind.DAY else None
    said = {
        "symbol": alert.symbol,
        "strike": "" if alert.strike is None else str(alert.strike),
        "right": alert.right,
        "expiry": "" if day is None else f"{day:%Y%m%d}",
        "con_id": str(min(alert.con_ids)) if alert.con_ids and with_con_id else "",
    }
    return {name: value for name, value in said.items() if value}


def _friday(alert: Alert, today: date) -> date:
    """Return the third Friday of the alert's month, else the next Friday."""
    if alert.expiry.month is None:
        return today + timedelta(days=(_FRIDAY - today.weekday()) % 7)
    first = date(*alert.expiry.month, 1)
    return first + timedelta(days=(_FRIDAY - first.weekday()) % 7 + 14)


def _day(text: str) -> date:
    expiry = read_expiry(text, None)
    if expiry.day is None or expiry.kind is not ExpiryKind.DAY:
        raise CommandError(
            "bad_request", f"expiry {quoted(text)} is not a date; write YYYYMMDD, as in 20301220"
        )
    return expiry.day
