"""Read from a Flex report which positions changed without a trade, and why.

Owns the reading of the sections Option Exercises, Assignments and Expirations, Corporate Actions, and
Transfers into typed events. It decides nothing: the import decides what the events mean for a position.

| the row | cause | what it says |
|---|---|---|
| Exercise, Assignment, Expiration | `exercised`, `assigned`, `expired` | the change of the option |
| Buy or Sell beside it | the same as the option's | the change of the delivered contract |
| a split (FS, RS) of one contract | `split` | new units for one old unit, by the words `4 FOR 1` |
| an action that takes one contract and brings another | `split`, `adjusted` | what it becomes, the ratio |
| any other action | `adjusted` | the change |
| rows of an action that cancel others of it | | what is left |
| a transfer | `transferred` | the change, and the other account |
| two transfers in one direction that cancel each other | | nothing |
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tracker.core import limits
from tracker.core.model import ZERO, Contract
from tracker.gateway.flex_bookings import transaction_of
from tracker.gateway.flex_columns import ACTIONS, EXERCISES, SECTIONS, TRANSFERS, Row
from tracker.gateway.flex_dates import hours_of
from tracker.gateway.flex_event_check import CAUSES, DELIVERIES, broken_event, lacking
from tracker.gateway.flex_rows import DAY, OPTIONS, TIME, contract_in, number_in

_SPLITS: Final = ("FS", "RS")
_RATIO: Final = re.compile(
    r"\b(\d{1,9}(?:\.\d{1,9})?) FOR (\d{1,9}(?:\.\d{1,9})?)\b", re.ASCII | re.IGNORECASE
)
_CASH: Final = "CASH"
_SUMMARIES: Final = ("SUMMARY", "LOT")
"""Levels of detail whose rows repeat others."""
_OF_TRANSFER: Final = ("accountId", "conid", "direction", "account")
"""What a transfer has in common with the row that cancels it."""


@dataclass(frozen=True, slots=True)
class PositionEvent:
    """Hold one change of a position that no trade caused."""

    account: str
    contract: Contract
    cause: str
    quantity: Decimal
    """The change, signed."""
    day: date | None
    at: datetime | None = None
    """When it happened, in aware UTC. Without a time in the row, a corporate action and an increase count at
    the beginning of the trade date and any other decrease at its end.
    """
    ratio: Decimal | None = None
    """New units for one old unit; None where only the change is known."""
    becomes: Contract | None = None
    """The contract that replaces it."""
    other_account: str = ""
    """The account from or to which it was transferred."""
    unsigned: bool = False
    """Whether the row gives no sign: of a short position the quantity has the other one."""
    cancels: bool = False
    """Whether the row says that it cancels a change which another report lists."""
    transaction: str = ""
    text: str = ""
    """IBKR's own words."""


@dataclass(frozen=True, slots=True)
class PositionEvents:
    """Hold the events of a report's sections, and which of their rows cannot be read."""

    events: tuple[PositionEvent, ...] = ()
    problems: tuple[str, ...] = ()


def read_events(rows: Iterable[tuple[str, Row]]) -> PositionEvents:
    """Read the rows of the other sections, each with its section's name."""
    by_section: dict[str, list[Row]] = defaultdict(list)
    for name, row in rows:
        if row.get("levelOfDetail") not in _SUMMARIES and row.get("assetCategory") != _CASH:
            by_section[name].append(row)
    problems = list(lacking(by_section))
    for name, found in by_section.items():
        by_section[name] = [] if problems else [row for row in found if _is_event(name, row, problems)]
    events = [
        *_exercises(by_section[EXERCISES]),
        *_actions(by_section[ACTIONS]),
        *_transfers(by_section[TRANSFERS]),
    ]
    return PositionEvents(tuple(events), tuple(problems))


def _is_event(section: str, row: Row, problems: list[str]) -> bool:
    """Return whether a row says that a position changed; its faults are added to `problems`."""
    reason = broken_event(section, row)
    if reason:
        name, _, rest = reason.partition(" ")
        which = limits.quoted(row.get("transactionID") or row.get("tradeID") or "")
        of = SECTIONS[section]
        problems.append(f"{of.label}, row {which}: {of.label_of(name)} {rest}")
    return not reason and bool(number_in(row, "quantity"))


def _event(row: Row, cause: str, *, before_trades: bool = False) -> PositionEvent:
    day = date.fromisoformat(row[DAY]) if row.get(DAY) else None
    quantity = number_in(row, "quantity")
    return PositionEvent(
        account=row["accountId"],
        contract=contract_in(row),
        cause=cause,
        quantity=quantity,
        day=day,
        at=_moment(row, day, goes=quantity < 0 and not before_trades),
        transaction=row.get("transactionID") or row.get("tradeID") or "",
        text=limits.clean_text(row.get("actionDescription") or row.get("description", "")),
    )


def _moment(row: Row, day: date | None, *, goes: bool) -> datetime | None:
    if row.get(TIME):
        return datetime.fromisoformat(row[TIME])
    return None if day is None else hours_of(day, day)[goes]


def _exercises(rows: Sequence[Row]) -> Iterator[PositionEvent]:
    """Yield the options that ended, each with what it delivered: the rows after it that are not options."""
    cause = ""
    for row in rows:
        kind = row.get("transactionType", "")
        if kind in CAUSES:
            cause = CAUSES[kind]
            yield _event(row, cause)
        elif kind in DELIVERIES and row.get("assetCategory") not in OPTIONS and cause:
            yield _event(row, cause)


def _actions(rows: Sequence[Row]) -> Iterator[PositionEvent]:
    together: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for number, row in enumerate(rows):
        together[row["accountId"], row.get("actionID") or f"row {number}"].append(row)
    for parts in together.values():
        cause = "split" if parts[0].get("type") in _SPLITS else "adjusted"
        rows_of = (_event(row, cause, before_trades=True) for row in parts)
        events = [_before_its_second(event) for event in _net(rows_of)]
        gone = [each for each in events if each.quantity < 0]
        come = [each for each in events if each.quantity > 0]
        cancels = all(map(_is_cancelled, parts))
        one_for_one = len(gone) == len(come) == 1
        if one_for_one and gone[0].contract.con_id != come[0].contract.con_id:
            ratio = come[0].quantity / -gone[0].quantity
            yield replace(gone[0], becomes=come[0].contract, ratio=ratio, cancels=cancels)
        elif cause == "split" and len(events) == 1:
            each = _ratio_in(events[0].text)
            yield replace(events[0], ratio=1 / each if each and cancels else each, cancels=cancels)
        else:
            yield from (replace(each, cancels=cancels) for each in events)


def _net(events: Iterable[PositionEvent]) -> list[PositionEvent]:
    """Return what one action does to each contract: a row may cancel another, and a third book it again."""
    found: dict[int, PositionEvent] = {}
    for event in events:
        before = found.get(event.contract.con_id)
        quantity = event.quantity + (ZERO if before is None else before.quantity)
        found[event.contract.con_id] = replace(event, quantity=quantity)
    return [event for event in found.values() if event.quantity]


def _before_its_second(event: PositionEvent) -> PositionEvent:
    """Return an action before the trades of its second, which sell the fractions that it leaves."""
    return event if event.at is None else replace(event, at=event.at - timedelta(seconds=1))


def _ratio_in(text: str) -> Decimal | None:
    found = _RATIO.search(text)
    if found is None or not Decimal(found[1]) or not Decimal(found[2]):
        return None
    return Decimal(found[1]) / Decimal(found[2])


def _transfers(rows: Sequence[Row]) -> Iterator[PositionEvent]:
    """Yield the transfers in force: a cancelled one is listed again, in its direction with the other sign."""
    in_force: list[Row] = []
    for row in rows:
        found = [each for each in in_force if _cancels(row, each)]
        of_its_time = [each for each in found if _when(each) == _when(row)]
        if found:
            in_force.remove((of_its_time or found)[-1])
        else:
            in_force.append(row)
    for row in in_force:
        event = _event(row, "transferred")
        out, cancels = row.get("direction", "").upper() == "OUT", _is_cancelled(row)
        # What goes may be written without a sign, and is a long position unless a short one is held.
        unsigned = out and (event.quantity < 0 if cancels else event.quantity > 0)
        signed = -event.quantity if unsigned else event.quantity
        yield replace(
            event,
            quantity=signed,
            at=_moment(row, event.day, goes=signed < 0),
            other_account=limits.clean_text(row.get("account", "")),
            unsigned=unsigned,
            cancels=cancels,
        )


def _when(row: Row) -> tuple[str, str]:
    return row.get(DAY, ""), row.get(TIME, "")


def _cancels(row: Row, before: Row) -> bool:
    same = all(row.get(name) == before.get(name) for name in _OF_TRANSFER)
    opposite = number_in(row, "quantity") == -number_in(before, "quantity")
    return same and opposite and not _is_behind(row, before) and not _is_behind(before, row)


def _is_behind(row: Row, cancel: Row) -> bool:
    """Return whether a transfer was booked after the row that cancels one, which then is another one."""
    if _is_cancelled(row) or not _is_cancelled(cancel):
        return False
    numbers = transaction_of(row), transaction_of(cancel)
    return all(numbers) and numbers[0] > numbers[1]


def _is_cancelled(row: Row) -> bool:
    return "Ca" in row.get("code", "").split(";")
