"""The entries of the journal: our own notes.

Owns the text of every note (one frozen type each, to and from the fields of a frame). It decides nothing.
What is stored stays readable: a note's name and the order of its values never change, new values are added
at the end with a default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Final, TypeAlias, get_type_hints

from msgspec import Struct

from tracker.core.message_fields import ExecutionAt, field_at
from tracker.core.model import AlertId, Contract, ExecutionKey, Frame, Source

Fields: TypeAlias = tuple[str, ...]
Arriving: TypeAlias = tuple[Source, Fields]
"""A frame that has no number yet."""


WHOLE: Final = "whole"
"""Of a `RecordReplaced`: the successor is the same alert."""


def execution_key(fields: Sequence[str]) -> ExecutionKey | None:
    """Return what identifies the execution of a message 11, None where the message is too short."""
    account = field_at(fields, ExecutionAt.ACCOUNT)
    return None if account is None else ExecutionKey(account, fields[ExecutionAt.EXEC_ID])


class Entry(Struct, frozen=True):
    """Be one note of our own; subclasses name their source and their text, and hold the values."""

    SOURCE: ClassVar[Source]
    NAME: ClassVar[str]

    @property
    def fields(self) -> Fields:
        """Return the frame's fields: the name, then the values in their order."""
        kinds = _kinds(type(self))
        parts = [part for name, kind in kinds.items() for part in _written(kind, getattr(self, name))]
        return (self.NAME, *parts)

    @property
    def arriving(self) -> Arriving:
        """Return the frame to be appended."""
        return self.SOURCE, self.fields


class LinkUp(Entry, frozen=True):
    """A connection began, with the accounts that its login manages."""

    SOURCE = Source.LINK
    NAME = "up"
    accounts: tuple[str, ...] = ()
    server_version: str = ""


class LinkDown(Entry, frozen=True):
    """A connection ended."""

    SOURCE = Source.LINK
    NAME = "down"
    reason: str = ""


class FirstSweepOver(Entry, frozen=True):
    """The first sweep of a connection was answered, or timed out."""

    SOURCE = Source.LINK
    NAME = "first_sweep"


class RequestTimedOut(Entry, frozen=True):
    """A request was not answered in time; `of` is an `EndOf`, `request` -1 where it had no number."""

    SOURCE = Source.LINK
    NAME = "timeout"
    of: str
    request: int = -1


class SweepQuiet(Entry, frozen=True):
    """A sweep went quiet: nothing more comes, and its end has not come."""

    SOURCE = Source.LINK
    NAME = "quiet"
    request: int


class SweepChecked(Entry, frozen=True):
    """A sweep's answer was compared with the executions journalled for its day."""

    SOURCE = Source.LINK
    NAME = "proof"
    request: int
    result: str
    """`complete`, or `missing` and how many it lacks."""

    @property
    def complete(self) -> bool:
        return self.result == "complete"

    @classmethod
    def of(cls, request: int, missing: int) -> SweepChecked:
        """Return the note about an answer that lacks so many executions."""
        return cls(request, f"missing {missing}" if missing else "complete")


class DecidedAgain(Entry, frozen=True):
    """A frame that could not be read or decided is to be decided again."""

    SOURCE = Source.LINK
    NAME = "decide_again"
    frame: int


class PositionsAsked(Entry, frozen=True):
    """Positions are about to be requested."""

    SOURCE = Source.SENT
    NAME = "positions"


class ExecutionsAsked(Entry, frozen=True):
    """A sweep is about to be sent; `account` is empty for all at once."""

    SOURCE = Source.SENT
    NAME = "executions"
    request: int
    account: str = ""


class OpenOrdersAsked(Entry, frozen=True):
    """The open orders of all clients are about to be requested."""

    SOURCE = Source.SENT
    NAME = "open_orders"


class CompletedOrdersAsked(Entry, frozen=True):
    """The day's completed orders are about to be requested."""

    SOURCE = Source.SENT
    NAME = "completed_orders"


class RecordReplaced(Entry, frozen=True):
    """A record of the store is gone, and another one is its successor."""

    SOURCE = Source.STORE
    NAME = "replaced"
    old: AlertId
    new: AlertId
    contracts: tuple[str, ...] = ()
    """What it takes over, as `ContractKey.text`; empty for all."""
    whole: str = ""
    """WHOLE where it is the same alert, which keeps what is closed too."""
    record: str = ""
    """The successor as JSON (`Alert`), since it may be gone when this is decided."""


class RecordGone(Entry, frozen=True):
    """A record that was written is no longer in the store."""

    SOURCE = Source.STORE
    NAME = "gone"
    alert: AlertId


class RecordBack(Entry, frozen=True):
    """A record that was gone is in the store again."""

    SOURCE = Source.STORE
    NAME = "back"
    alert: AlertId


class RecordCopied(Entry, frozen=True):
    """A new record was written with the position that we had shown in a former record of its name."""

    SOURCE = Source.STORE
    NAME = "copied"
    alert: AlertId


class Rematched(Entry, frozen=True):
    """An execution is to be matched again, since the store has changed."""

    SOURCE = Source.STORE
    NAME = "rematch"
    execution: ExecutionKey


class Assigned(Entry, frozen=True):
    """A person says which alert an execution belongs to."""

    SOURCE = Source.PERSON
    NAME = "assign"
    execution: ExecutionKey
    alert: AlertId


class PartAssigned(Entry, frozen=True):
    """A person gives a part of an execution, or of what its order has filled, to an alert."""

    SOURCE = Source.PERSON
    NAME = "assign_part"
    execution: ExecutionKey
    alert: AlertId
    quantity: Decimal
    """Positive."""
    whole: str = ""
    """WHOLE where it is taken from all fills of the order, the oldest first."""


class Dismissed(Entry, frozen=True):
    """A person dismisses an execution, which then needs no decision."""

    SOURCE = Source.PERSON
    NAME = "dismiss"
    execution: ExecutionKey


class AdjustmentTold(Entry, frozen=True):
    """A person says why a position changed without an execution.

    `ratio` is new units for one old unit; empty for an adjustment to the broker's quantity.
    """

    SOURCE = Source.PERSON
    NAME = "adjust"
    contract: str
    """As `ContractKey.text`."""
    cause: str
    ratio: str = ""
    text: str = ""
    into: str = ""
    """The contract and account into which it moves, in the same form; empty if it does not move."""


class FlexAdjustment(AdjustmentTold, frozen=True):
    """A Flex report says why a position changed that no execution explains."""

    SOURCE = Source.FLEX


class PositionChanged(Entry, frozen=True):
    """A Flex report lists a change of a position with its cause, which no answer of the broker showed.

    `at` is ISO 8601 in UTC, `amount` the signed change, `ratio` as of an `AdjustmentTold`.
    """

    SOURCE = Source.FLEX
    NAME = "position_changed"
    contract: str
    """As `ContractKey.text`."""
    cause: str
    at: str
    amount: str
    ratio: str = ""
    text: str = ""
    into: Contract | None = None
    """The contract into which all of it moves, in the same account; its own contract where `begins`."""

    @property
    def begins(self) -> bool:
        """Whether nothing of the contract was known when the report was read."""
        return self.into is not None and self.contract.endswith(f" {self.into.con_id}")


class EventCancelled(Entry, frozen=True):
    """A Flex report cancels a change of a position that an earlier one listed.

    `at` and `amount` are as of a `PositionChanged`.
    """

    SOURCE = Source.FLEX
    NAME = "event_cancelled"
    contract: str
    """As `ContractKey.text`."""
    cause: str
    at: str
    """When the change was; where it is not known yet, the time of the row that cancels it."""
    amount: str
    """The change by which the row turns it back."""
    text: str = ""
    transaction: str = ""
    """The number of the row's transaction."""
    frame: int = 0
    """The frame that entered the change; 0 where no report had it yet."""


class Undone(Entry, frozen=True):
    """A person takes back what was decided with a frame; the execution is empty for an adjustment."""

    SOURCE = Source.PERSON
    NAME = "undo"
    frame: int
    execution: ExecutionKey = ExecutionKey("", "")


class GapAccepted(Entry, frozen=True):
    """A person closes a day's gap."""

    SOURCE = Source.PERSON
    NAME = "gap_accepted"
    day: date


class GapReopened(Entry, frozen=True):
    """A person takes back that a day's gap was accepted with a frame."""

    SOURCE = Source.PERSON
    NAME = "gap_reopened"
    frame: int
    day: date


class DayCovered(Entry, frozen=True):
    """A Flex report closes a day's gap."""

    SOURCE = Source.FLEX
    NAME = "covered"
    day: date


class HoursCovered(Entry, frozen=True):
    """A Flex report covers an account's executions of these hours; times are ISO 8601 in UTC."""

    SOURCE = Source.FLEX
    NAME = "hours"
    account: str
    begins: str
    ends: str


class FlexTrade(Entry, frozen=True):
    """A row of a Flex report with an execution, as JSON."""

    SOURCE = Source.FLEX
    NAME = "trade"
    row: str


class FlexFee(Entry, frozen=True):
    """The same row, for its fee."""

    SOURCE = Source.FLEX
    NAME = "trade_fee"
    row: str


ENTRIES: Final[tuple[type[Entry], ...]] = (
    *(LinkUp, LinkDown, FirstSweepOver, RequestTimedOut, SweepQuiet, SweepChecked, DecidedAgain),
    *(PositionsAsked, ExecutionsAsked, OpenOrdersAsked, CompletedOrdersAsked),
    *(RecordReplaced, RecordGone, RecordBack, RecordCopied, Rematched),
    *(Assigned, PartAssigned, Dismissed, AdjustmentTold, FlexAdjustment, PositionChanged, Undone),
    *(EventCancelled, GapAccepted, GapReopened),
    *(DayCovered, HoursCovered, FlexTrade, FlexFee),
)


def read_entry(frame: Frame) -> Entry | None:
    """Read a note of our own; None for a message of the broker, and for a note that is no longer used."""
    kind = _BY_NAME.get((frame.source, frame.fields[0])) if frame.fields else None
    return None if kind is None else _read(kind, frame.fields[1:])


def entry_of(source: Source, fields: Fields) -> Entry | None:
    """Read the fields of a note that is not journalled yet."""
    kind = _BY_NAME.get((source, fields[0])) if fields else None
    return None if kind is None else _read(kind, fields[1:])


def alert_fields(alert: AlertId) -> tuple[str, str, str, str]:
    """Return an identity as a note writes it."""
    con_id = "" if alert.option_conid is None else str(alert.option_conid)
    return alert.alerter, alert.ticker, alert.created_at, con_id


def _read(kind: type[Entry], parts: Fields) -> Entry:
    values: dict[str, Any] = {}
    for name, of in _kinds(kind).items():
        width = _WIDTHS.get(of, 1)
        if len(parts) < width:
            # The note is older than this value: its default applies.
            break
        values[name] = _value(of, parts[:width])
        parts = parts[width:]
    return kind(**values)


def _written(kind: Any, value: Any) -> Fields:
    if kind is AlertId:
        return alert_fields(value)
    if kind is ExecutionKey:
        return tuple(value)
    if kind == _CONTRACT:
        return () if value is None else _contract_fields(value)
    if kind is date:
        return (value.isoformat(),)
    return (",".join(value),) if kind == _NAMES else (str(value),)


def _value(kind: Any, parts: Fields) -> Any:
    if kind is AlertId:
        alerter, ticker, created_at, con_id = parts
        return AlertId(alerter, ticker, created_at, int(con_id) if con_id else None)
    if kind is ExecutionKey:
        return ExecutionKey(*parts)
    if kind == _CONTRACT:
        return _read_contract(parts)
    if kind is date:
        return date.fromisoformat(parts[0])
    if kind == _NAMES:
        return tuple(name for name in parts[0].split(",") if name)
    return kind(parts[0])


def _contract_fields(contract: Contract) -> Fields:
    expiry = "" if contract.expiry is None else contract.expiry.isoformat()
    strike = "" if contract.strike is None else str(contract.strike)
    head = (str(contract.con_id), contract.symbol, contract.sec_type, expiry, strike, contract.right)
    return (*head, contract.multiplier, contract.currency, contract.local_symbol, contract.trading_class)


def _read_contract(parts: Fields) -> Contract:
    con_id, symbol, sec_type, expiry, strike, *rest = parts
    day = date.fromisoformat(expiry) if expiry else None
    return Contract(int(con_id), symbol, sec_type, day, Decimal(strike) if strike else None, *rest)


_NAMES: Final = tuple[str, ...]
_CONTRACT: Final = Contract | None
_WIDTHS: Final[Mapping[Any, int]] = {AlertId: 4, ExecutionKey: 2, _CONTRACT: 10}
"""How many fields a value takes, where that is not one."""
_KINDS: Final[dict[type[Entry], Mapping[str, Any]]] = {}


def _kinds(entry: type[Entry]) -> Mapping[str, Any]:
    """Return the type of each value of an entry, in order."""
    known = _KINDS.get(entry)
    if known is None:
        hints = get_type_hints(entry)
        known = _KINDS[entry] = {name: hints[name] for name in entry.__struct_fields__}
    return known


_BY_NAME: Final = {(entry.SOURCE, entry.NAME): entry for entry in ENTRIES}
