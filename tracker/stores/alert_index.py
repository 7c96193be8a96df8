"""One state of the alerts, with indexes to find those that a fill may belong to.

Owns the entries and their indexes, all immutable once published: a reader holds one state and is not affected
by the next. It never does I/O, and never visits all entries for one fill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from loguru import logger

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.contracts import tickers_of
from tracker.core.model import Alert, AlertId, Contract, Execution
from tracker.core.ports import Shown
from tracker.core.references import read_reference
from tracker.stores.alert_batch import fields_of
from tracker.stores.alert_reader import read_alert, read_shown

RecordKey: TypeAlias = tuple[str, str]
"""(alerter, ticker) as the store spells them."""
Term: TypeAlias = tuple[str, object]
"""One key by which an alert is found: its kind, and the con_id, the symbol or the name."""

NAMES_MAX: Final = 500
_NO_NAME: Final = "\0\x1f"
"""Characters not allowed in names: the journal joins row keys with one, and SQLite's texts end at the
other.
"""
_ANSWERS_KEPT: Final = 256


class IndexedRecord(NamedTuple):
    """Hold one record as read."""

    text: str
    read: Alert
    """The alert as the record says."""
    alert: Alert
    """The alert with what another store adds."""
    shown: Shown


def read_record(
    alerter: str, ticker: str, text: str, zone: tzinfo, enrich: Callable[[Alert], Alert]
) -> IndexedRecord:
    """Read one record's text; raises ValueError and other errors for a record that cannot be used."""
    fields = fields_of(text)
    read = read_alert(alerter, ticker, fields, zone)
    _check_names("/".join((alerter, ticker, read.id.created_at, read.symbol)))
    return IndexedRecord(text, read, enrich(read), read_shown(fields))


def usable(
    store: object, alerter: str, ticker: str, read: Callable[[], IndexedRecord]
) -> IndexedRecord | None:
    """Return a record as `read` returns it; None, with a warning, for one that cannot be used."""
    try:
        return read()
    except Exception as error:
        # One bad record must not hide the others.
        name = ascii(f"{alerter}/{ticker}"[:NAMES_MAX])
        why_not = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        logger.warning("{}: the record {} is not used: {}", store, name, why_not)
        return None


def _check_names(names: str) -> None:
    if len(names) > NAMES_MAX:
        raise ValueError(f"its names are longer than {NAMES_MAX} characters")
    if any(sign in names for sign in _NO_NAME):
        raise ValueError("a control character is in its name or its created_at")
    try:
        names.encode()
    except UnicodeEncodeError:
        # Such a name can neither be stored nor shown.
        raise ValueError("half a surrogate pair is in its name or its created_at") from None


@dataclass(frozen=True)
class AlertIndex:
    """Hold one state; `with_changes` makes each from the one before, the first from an empty one."""

    names: AlerterNames = field(default_factory=AlerterNames)
    entries: Mapping[RecordKey, IndexedRecord] = field(default_factory=dict)
    index: Mapping[Term, tuple[RecordKey, ...]] = field(default_factory=dict)
    _found: dict[tuple[int, str, str], tuple[Alert, ...]] = field(
        default_factory=dict, init=False, compare=False
    )
    """Answers given so far: all fills of one order ask the same."""

    def with_changes(self, changes: Mapping[RecordKey, IndexedRecord | None]) -> AlertIndex:
        """Return the state after these records changed, were added, or (with None) were removed."""
        entries = dict(self.entries)
        gone: dict[Term, set[RecordKey]] = {}
        come: dict[Term, list[RecordKey]] = {}
        for key, entry in changes.items():
            before = entries.get(key)
            old = set(self._terms(before.alert)) if before else set()
            new = set(self._terms(entry.alert)) if entry else set()
            for term in old - new:
                gone.setdefault(term, set()).add(key)
            for term in new - old:
                come.setdefault(term, []).append(key)
            if entry:
                entries[key] = entry
            else:
                entries.pop(key, None)
        return AlertIndex(self.names, entries, self._index_with(gone, come) if gone or come else self.index)

    def _index_with(
        self, gone: Mapping[Term, set[RecordKey]], come: Mapping[Term, list[RecordKey]]
    ) -> dict[Term, tuple[RecordKey, ...]]:
        index = dict(self.index)
        for term in {**gone, **come}:
            left = gone.get(term, ())
            keys = [key for key in index.get(term, ()) if key not in left] + come.get(term, [])
            if keys:
                index[term] = tuple(keys)
            else:
                del index[term]
        return index

    def _terms(self, alert: Alert) -> Iterator[Term]:
        yield ("symbol", symbol_key(alert.symbol))
        yield ("name", (self.names.key(alert.id.alerter), symbol_key(alert.id.ticker)))
        for con_id in alert.con_ids:
            yield ("con_id", con_id)

    @cached_property
    def alerts(self) -> tuple[Alert, ...]:
        """Return all alerts."""
        return tuple(entry.alert for entry in self.entries.values())

    def candidates(self, execution: Execution) -> tuple[Alert, ...]:
        """Return the alerts of the execution's con_id and of its symbol, and those that its order_ref may
        name.
        """
        contract = execution.contract
        asked = (contract.con_id, contract.symbol, execution.order_ref)
        found = self._found.get(asked)
        if found is None:
            terms: list[Term] = [("con_id", contract.con_id)]
            terms += [("symbol", ticker) for ticker in sorted(tickers_of(contract))]
            terms += self._named(execution.order_ref, contract)
            keys = dict.fromkeys(key for term in terms for key in self.index.get(term, ()))
            found = tuple(self.entries[key].alert for key in keys)
            if len(self._found) >= _ANSWERS_KEPT:
                self._found.clear()
            self._found[asked] = found
        return found

    def _named(self, order_ref: str, contract: Contract) -> Iterator[Term]:
        """Yield the keys of records that a reference names, under any ticker of the contract."""
        for name in read_reference(order_ref, contract, self.names).keys:
            alerter, _, ticker = name.partition("/")
            tickers = tickers_of(contract) if ticker == symbol_key(contract.symbol) else (ticker,)
            for each in tickers:
                yield ("name", (alerter, each))

    def entry(self, alert: AlertId) -> IndexedRecord | None:
        """Return the record with exactly this identity."""
        found = self.entries.get((alert.alerter, alert.ticker))
        return found if found and found.read.id == alert else None
