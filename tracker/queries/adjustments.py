"""What a person tells about a position that changed without an execution, and how it is taken back.

Owns which adjustments and undoings make sense, and the notes by which they are journalled (`core.ledger`
reads them). It writes nothing itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tracker.core.adjustment_rows import ADJUSTED, SPLIT, Adjustment, Difference
from tracker.core.alert_updates import instant, number
from tracker.core.alerters import AlerterNames
from tracker.core.entries import ContractEntries
from tracker.core.journal_entries import AdjustmentTold, Assigned, Dismissed, Undone, read_entry
from tracker.core.lots import at_opening_balance, fold
from tracker.core.model import Moment
from tracker.core.state import ADJUSTMENTS, DIFFERENCES, EXECUTIONS, HOLDINGS, LedgerState
from tracker.core.state_rows import Holding
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json, contract_json
from tracker.status.protocol import CommandError, quoted

_LAST: Final = 2**62
"""Behind every frame."""
_RATIO: Final = re.compile(r"(\d{1,6}):(\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Telling:
    """Hold an adjustment that makes sense, and the holding that it is about."""

    key: str
    entry: AdjustmentTold


def telling(
    state: LedgerState, contract: str, *, account: str = "", split: str = "", note: str = ""
) -> Telling:
    """Decide that a position changed for a reason; raises CommandError where it cannot have."""
    holding = holding_named(state, contract, account)
    key = holding.key.text()
    if split:
        ratio = _ratio(split)
        if not holding.held:
            raise CommandError("refused", f"nothing of {_words(holding)} is held, so nothing was split")
        return Telling(key, AdjustmentTold(key, SPLIT, str(ratio), note))
    if not note:
        raise CommandError("bad_request", "say what happened: --split NEW:OLD, or --note TEXT")
    if _waiting(state, key) is None:
        raise CommandError(
            "refused",
            f"the broker's positions and the fills agree on {_words(holding)}, so there is nothing to adjust;"
            " `tracker inbox` lists the positions that no fill explains",
        )
    return Telling(key, AdjustmentTold(key, ADJUSTED, "", note))


def holding_named(state: LedgerState, text: str, account: str = "") -> Holding:
    """Find what is held by conId, symbol or local symbol; raises CommandError unless it is exactly one."""
    wanted = " ".join(text.split()).casefold()
    found = [
        holding
        for holding in state.every(HOLDINGS)
        if wanted in (str(holding.contract.con_id), *_names(holding))
        and (not account or holding.account == account)
    ]
    found = [one for one in found if one.held or _waiting(state, one.key.text())] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(
            "not_found", f"no fill of {quoted(text)} is known; name a conId that `tracker fills` lists"
        )
    several = ", ".join(f"{_words(one)} in {one.account}" for one in found[:5])
    raise CommandError("ambiguous", f"{quoted(text)} names several: {several}; name the conId and --account")


def told_result(state: LedgerState, one: Telling) -> Json:
    """Return what the adjustment changed: what is held, and what each alert has of it."""
    return {"done": True, **_as_json(_holding(state, one.key))}


def rehearsed(state: LedgerState, names: AlerterNames, one: Telling) -> Json:
    """Return the same without making it."""
    holding = _holding(state, one.key)
    waiting = _waiting(state, one.key)
    entries = ContractEntries(state, names)
    rows = [row for row in state.find(EXECUTIONS, "contract", one.key) if row.counted and row.folded]
    assert holding.last is not None, "what is held was folded"
    place = waiting.place if waiting is not None else Moment(holding.last.time, _LAST)
    ratio = Decimal(one.entry.ratio) if one.entry.ratio else None
    held = waiting.listed if waiting is not None and ratio is None else None
    made = Adjustment(*holding.key, _LAST, place, one.entry.cause, held=held, ratio=ratio)
    before = [each for each in entries.adjustments(holding.key) if each.settled]
    folded = fold(
        at_opening_balance(holding),
        [entries.movement(row) for row in rows],
        entries.decisions(holding.key),
        entries.name_of(holding),
        [*before, made],
    )
    return {"done": False, "id": None, **_as_json(folded.holding)}


def undoing(journal: Journal, name: str) -> Undone:
    """Decide to take back what a frame decided; raises CommandError where that is no decision."""
    seq = int(name) if name.isascii() and name.isdigit() and len(name) < 19 else -1
    rows = journal.state.find(ADJUSTMENTS, "name", str(seq))
    if rows:
        if rows[0].undone:
            raise CommandError("refused", f"adjustment {seq} was taken back before")
        return Undone(seq)
    frame = journal.frame(seq)
    entry = read_entry(frame) if frame is not None else None
    if isinstance(entry, Assigned | Dismissed):
        return Undone(seq, entry.execution)
    raise CommandError(
        "not_found",
        f"{quoted(name)} is no ID of a decision or an adjustment; `tracker why` and the answers of assign,"
        " dismiss and adjust name them",
    )


def open_difference(state: LedgerState, contract: str) -> list[Difference]:
    """Return the difference of a contract that waits for a second answer, if there is one."""
    row = _waiting(state, contract)
    return [] if row is None else [row]


def difference_json(state: LedgerState, one: Difference) -> Json:
    """Describe a position that no execution explains."""
    holding = _holding(state, f"{one.account} {one.con_id}")
    likely = "; a day is unproven, so missed fills are the likely cause" if one.after_gap else ""
    ours = number(holding.held - holding.pending)
    return {
        "account": one.account,
        **contract_json(holding.contract),
        "listed": number(holding.held - holding.pending + one.amount),
        "difference": number(one.amount),
        "seen_at": instant(one.seen.time),
        "says": f"the broker holds {number(holding.held - holding.pending + one.amount)}, the fills add up to"
        f" {ours}{likely}; it is settled once a second answer agrees",
    }


def adjustment_json(one: Adjustment) -> Json:
    """Describe an adjustment, for `why`."""
    if one.ratio is not None:
        what = f"each unit became {number(one.ratio)} ({one.cause})"
    else:
        what = f"the broker held {number(one.held)}, which no fill explains ({one.cause})"
    said = f"; {one.note}" if one.note else ""
    back = ", taken back" if one.undone else f"; `tracker undo {one.name}` takes it back"
    return {"at": instant(one.at), "what": f"{what}{said}{back}", "id": one.name}


def _ratio(text: str) -> Decimal:
    found = _RATIO.fullmatch(text.replace(" ", ""))
    if found is None or not int(found[1]) or not int(found[2]):
        raise CommandError(
            "bad_request", f"{quoted(text)} is no ratio; write new units, a colon, old units, as in 4:1"
        )
    return Decimal(found[1]) / Decimal(found[2])


def _names(holding: Holding) -> list[str]:
    names = (holding.contract.symbol, holding.contract.local_symbol)
    return [" ".join(name.split()).casefold() for name in names if name]


def _waiting(state: LedgerState, key: str) -> Difference | None:
    row = state.get(DIFFERENCES, key)
    return None if row is None or row.over else row


def _holding(state: LedgerState, key: str) -> Holding:
    holding = state.get(HOLDINGS, key)
    assert holding is not None, "a contract that was named is held"
    return holding


def _words(holding: Holding) -> str:
    return str(contract_json(holding.contract)["contract"])


def _as_json(holding: Holding) -> Json:
    return {
        "account": holding.account,
        **contract_json(holding.contract),
        "held": number(holding.held),
        "alerts": [
            {"alert": mine.alert.name, "quantity": number(mine.quantity), "avg_price": number(mine.avg_price)}
            for mine in holding.alerts
        ],
    }
