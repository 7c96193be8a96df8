"""The alerts of the store: what a record says, and which record is which alert over time.

Owns identity (rule 2.3) and whether two records are about one contract (rule 2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from tests.sim.rules_oracle.days import Expiry, Written, expiry_day, read_created, read_expiry
from tests.sim.rules_oracle.facts import Contract, StoreRead
from tests.sim.rules_oracle.names import Alerters, ticker_key


@dataclass(frozen=True, slots=True)
class Record:
    """What one record of alerts.json says, together with its alerter's stored contract."""

    alerter: str
    ticker: str
    """Both as spelled."""
    alerter_key: str
    ticker_key: str
    symbol_key: str
    """The ticker in its details, which say what it is about; its key names it."""
    created_text: str | None
    created: Written
    con_ids: frozenset[int]
    right: str
    strike: Decimal | None
    expiry: Expiry
    stock: bool
    """Without any option details."""
    details_text: str
    """The details as written, to tell an untouched record."""

    @property
    def spelled(self) -> tuple[str, str]:
        return self.alerter, self.ticker


def read_record(
    alerter: str,
    ticker: str,
    raw: Mapping[str, Any],
    store: StoreRead,
    alerters: Alerters,
    first_seen: datetime,
) -> Record:
    """Read one record; what has no created_at is resolved as of `first_seen`."""
    details = raw.get("alert_details") or {}
    created_text = raw.get("created_at")
    created = read_created(created_text, store.zone)
    wall = created.wall or first_seen.astimezone(ZoneInfo(store.zone)).date()
    con_ids = {raw.get("option_conid"), *(raw.get("option_conids") or ())}
    right, strike = _right(details.get("side")), _number(details.get("strike"))
    expiry = read_expiry(details.get("expiry"), wall)
    symbol = ticker_key(str(details.get("ticker") or ticker))
    written = [details.get(name) for name in ("strike", "side", "expiry")]
    if expiry.missing and right and strike is not None:
        expiry = _stored_expiry(alerter, symbol, right, strike, wall, store, alerters)
    known = frozenset(con_id for con_id in con_ids if isinstance(con_id, int) and con_id)
    return Record(
        alerter,
        ticker,
        alerters.key(alerter),
        ticker_key(ticker),
        symbol,
        created_text if isinstance(created_text, str) else None,
        created,
        known,
        right,
        strike,
        expiry,
        stock=not known and not any(written),
        details_text=repr((written, sorted(known))),
    )


def _right(text: object) -> str:
    said = str(text or "").strip().upper()
    return {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}.get(said, "")


def _number(text: object) -> Decimal | None:
    try:
        return Decimal(str(text).strip().lstrip("$")) if text not in (None, "") else None
    except InvalidOperation:
        return None


def _stored_expiry(
    alerter: str,
    symbol: str,
    right: str,
    strike: Decimal,
    wall: date,
    store: StoreRead,
    alerters: Alerters,
) -> Expiry:
    """Let the alerter's stored contract fill in the expiry where symbol, right and strike agree.

    One that had expired by the alert's local date fills in nothing (rule 2.8).
    """
    for name, stored in store.contracts.items():
        same = (
            alerters.key(name) == alerters.key(alerter)
            and ticker_key(str(stored.get("symbol") or "")) == symbol
            and _right(stored.get("side")) == right
            and _number(stored.get("strike")) == strike
        )
        if same:
            expiry = read_expiry(stored.get("expiry"), wall)
            if expiry.day is not None and expiry.day >= wall:
                return expiry
    return Expiry()


def same_contract(old: Record, new: Record, contracts: Mapping[int, Contract]) -> bool:
    """Return whether two records are about one contract, as far as they say (rule 2.4).

    One that names no expiry means that of its conid's contract, where that is among the known `contracts`.
    """
    old, new = _with_expiry(old, contracts), _with_expiry(new, contracts)
    if old.stock or new.stock:
        return old.stock and new.stock
    alike = (old.right, old.strike) == (new.right, new.strike)
    if not (old.right and old.strike is not None and alike):
        return not alike and bool(old.con_ids & new.con_ids) and not (old.right and new.right and new.strike)
    return _same_expiry(old.expiry, new.expiry)


def _with_expiry(record: Record, contracts: Mapping[int, Contract]) -> Record:
    known = [contracts[con_id] for con_id in sorted(record.con_ids) if con_id in contracts]
    days = [expiry_day(contract) for contract in known if contract.is_option]
    return replace(record, expiry=Expiry(day=days[0])) if record.expiry.missing and days else record


def _same_expiry(one: Expiry, other: Expiry) -> bool:
    if one.missing or other.missing:
        return True
    if one.day and other.day:
        return one.day == other.day
    return _month(one) == _month(other)


_UNSEEN = timedelta(seconds=2)
"""By how little two measures differ that whole seconds cannot tell apart."""


def _month(expiry: Expiry) -> tuple[int, int] | None:
    return (expiry.day.year, expiry.day.month) if expiry.day is not None else expiry.month


@dataclass(slots=True)
class Alert:
    """One alert over time; `record` is what it says now, or said last."""

    number: int
    record: Record
    first_seen: datetime
    skew: timedelta
    """The host's clock less the broker's when it was first seen."""
    present: bool = True
    kept: bool = False
    """Whether a crash leaves it known when it was first seen."""
    lost: bool = False
    """Whether a crash lost that, so that it is first seen when it is read next."""
    looked: tuple[str, str] | None = None
    """How it was spelled when it was looked at last; until it had anything, when it was matched last."""

    @property
    def spelled(self) -> tuple[str, str]:
        return self.looked or self.record.spelled

    @property
    def created(self) -> datetime:
        """Its creation by the broker's clock (rule 4.1); without a created_at, when it was first seen."""
        written = self.record.created.about or self.first_seen.astimezone(UTC)
        return written - self.skew

    @property
    def name(self) -> str:
        return f"{self.record.alerter}/{self.record.ticker}"


@dataclass(slots=True)
class Sight:
    """When a record without a creation time to the second was first seen by a name, with a contract."""

    record: Record
    at: datetime
    skew: timedelta
    kept: bool = False
    """Whether a crash leaves it known."""


class Registry:
    """Follow every alert through the readings of the store."""

    def __init__(
        self,
        alerters: Alerters,
        one_ticker: Callable[[int, set[str]], bool],
        contracts: Mapping[int, Contract],
    ) -> None:
        """`one_ticker` tells whether these ticker keys are one of an alert's (SPXW and SPX of class SPXW)."""
        self._alerters = alerters
        self._one_ticker = one_ticker
        self._contracts = contracts
        self.alerts: list[Alert] = []
        self._sights: list[Sight] = []
        self._skew: timedelta | None = None
        """The host's clock less the broker's, as measured last."""
        self.readings = 0
        """Counts the readings that may have changed what a name means."""

    @property
    def present(self) -> list[Alert]:
        return [alert for alert in self.alerts if alert.present]

    def named(self, name: str, created_at: str) -> Alert | None:
        """Return the alert that a person means, as spelled if there is one, else in any spelling."""
        alerter, _, ticker = name.partition("/")
        meant = [alert for alert in self.alerts if alert.name == name]
        if created_at and (exact := [one for one in meant if one.record.created_text == created_at]):
            return exact[-1]
        spelled = [alert for alert in self.present if alert.record.spelled == (alerter, ticker)]
        keys = self._alerters.key(alerter), ticker_key(ticker)
        alike = [
            alert for alert in self.present if (alert.record.alerter_key, alert.record.ticker_key) == keys
        ]
        return next(iter(spelled or alike), None)

    def look(self, known: Collection[int]) -> None:
        """Take in that the records as they were read last are looked through.

        The rules page says no word of it: how an alert is spelled is followed once it is `known` to have had
        something, since nothing shows it before.
        """
        for alert in self.present:
            if alert.number in known:
                alert.looked = alert.record.spelled

    def keep_seen(self) -> None:
        """Take in that when the present ones were first seen is written down."""
        for alert in self.present:
            alert.kept = True
        for sight in self._sights:
            sight.kept = True

    def lose_unkept(self) -> None:
        """Take in a crash before it was written down when some were first seen."""
        for alert in self.alerts:
            alert.lost = not alert.kept
        self._sights = [sight for sight in self._sights if sight.kept]

    def measured(self, skew: timedelta) -> bool:
        """Rule 4.1: what is measured first was so all along; a second or so is no other setting.

        Return whether it differs from what was taken for it before.
        """
        before = self._skew or timedelta(0)
        other = abs(skew - before) >= _UNSEEN
        if self._skew is None or not other:
            dated: list[Alert | Sight] = [*self.alerts, *self._sights]
            for one in dated:
                if one.skew == before:
                    one.skew = skew
        self._skew = skew
        return other

    def read(self, store: StoreRead) -> None:
        """Take in a reading: which records are known alerts, which are new, which are gone (rule 2.3)."""
        assert store.alerts is not None
        self.readings += 1
        rest = [
            (alerter, ticker, raw)
            for alerter, tickers in store.alerts.items()
            for ticker, raw in tickers.items()
            if isinstance(raw, Mapping)
        ]
        # Of several that are gone the rules page says no word: who was there until now was respelled.
        before = sorted(self.alerts, key=lambda alert: (not alert.present, -alert.number))
        kept: set[int] = set()
        # First the records that stand as they were spelled; only then the same alert in another spelling.
        for spelled in (True, False):
            left = []
            # Of several other spellings the rules page says no word: the first by name is the same alert.
            for alerter, ticker, raw in rest if spelled else sorted(rest, key=lambda each: each[:2]):
                known = self._known(before, kept, alerter, ticker, raw, store, spelled)
                if known is None:
                    left.append((alerter, ticker, raw))
                    continue
                kept.add(known.number)
                if known.lost:
                    record = self._record(alerter, ticker, raw, store, store.at)
                    seen = self._first_sight(record, store)
                    known.first_seen, known.skew, known.lost = seen.at, seen.skew, False
                if not spelled:
                    new = self._record(alerter, ticker, raw, store, known.first_seen)
                    self._date_as_oldest(known, new, kept)
                known.record = self._record(alerter, ticker, raw, store, known.first_seen)
            rest = left
        for alert in self.alerts:
            alert.present = alert.number in kept
        for alerter, ticker, raw in rest:
            record = self._record(alerter, ticker, raw, store, store.at)
            seen = self._first_sight(record, store)
            record = self._record(alerter, ticker, raw, store, seen.at)
            self.alerts.append(Alert(len(self.alerts), record, seen.at, seen.skew))
        for alert in self.present:
            if alert.record.created.moment is None and self._sight(alert.record) is None:
                self._sights.append(Sight(alert.record, alert.first_seen, alert.skew))

    def _date_as_oldest(self, respelled: Alert, new: Record, kept: Collection[int]) -> None:
        """Have one that is several alerts which are gone be as old as the oldest of them.

        The rules page says no word of it: it has what each of them had.
        """
        gone = (alert for alert in self.alerts if alert.number not in kept and not alert.lost)
        same = [respelled, *(alert for alert in gone if self._same(alert, new))]
        oldest = min(same, key=lambda alert: alert.first_seen)
        respelled.first_seen, respelled.skew = oldest.first_seen, oldest.skew

    def _first_sight(self, record: Record, store: StoreRead) -> Sight:
        """Return when it is first seen; an undated one that had this name before, with this contract, was."""
        before = self._sight(record) if record.created.about is None else None
        return before or Sight(record, store.at, self._skew or timedelta(0))

    def _sight(self, record: Record) -> Sight | None:
        same = (sight for sight in self._sights if sight.record.spelled == record.spelled)
        return next((sight for sight in same if self._same_contract(sight.record, record)), None)

    def _same_contract(self, old: Record, new: Record) -> bool:
        return old.details_text == new.details_text or same_contract(old, new, self._contracts)

    def _known(
        self,
        before: list[Alert],
        kept: set[int],
        alerter: str,
        ticker: str,
        raw: Mapping[str, Any],
        store: StoreRead,
        spelled: bool,
    ) -> Alert | None:
        for alert in before:
            if alert.number in kept:
                continue
            new = self._record(alerter, ticker, raw, store, store.at if alert.lost else alert.first_seen)
            if spelled and new.spelled != alert.record.spelled:
                continue
            if self._same(alert, new) and (spelled or not self._is_there(alert, new, kept)):
                return alert
        return None

    def _is_there(self, gone: Alert, new: Record, kept: set[int]) -> bool:
        """Return whether another spelling of it stands in the store that comes first by name."""
        there = (alert.record for alert in self.alerts if alert.number in kept)
        return any(self._same(gone, one) and one.spelled < new.spelled for one in there)

    def _same(self, alert: Alert, new: Record) -> bool:
        old = alert.record
        if new.alerter_key != old.alerter_key:
            return False
        one_ticker = self._one_ticker(alert.number, {new.ticker_key, old.ticker_key})
        if old.created.moment is not None or new.created.moment is not None:
            return one_ticker and old.created.moment == new.created.moment
        # The contract belongs to the identity of an undated one, and with it the ticker that its details say.
        return (one_ticker or old.symbol_key == new.symbol_key) and self._same_contract(old, new)

    def _record(
        self, alerter: str, ticker: str, raw: Mapping[str, Any], store: StoreRead, first_seen: datetime
    ) -> Record:
        return read_record(alerter, ticker, raw, store, self._alerters, first_seen)
