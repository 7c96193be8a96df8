"""Let a person say why a position changed without an execution.

Owns which adjustments make sense, and the notes by which they are journalled (`core.ledger` reads them). It
writes nothing itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from tracker.core.adjustment_rows import ADJUSTED, SPLIT, TRANSFERRED, Adjustment, Difference
from tracker.core.alert_updates import instant, number
from tracker.core.audit.discrepancies import add_up
from tracker.core.contracts import is_expiring
from tracker.core.differences import contract_of, leads_to, not_listed, settled_of
from tracker.core.journal_entries import AdjustmentTold
from tracker.core.model import Contract
from tracker.core.scaling import is_same_ratio, scaled
from tracker.core.state import ADJUSTMENTS, DIFFERENCES, HOLDINGS, LINKS, POSITIONS, LedgerState
from tracker.core.state_rows import ContractKey, Holding
from tracker.queries.as_json import Json, contract_json, contract_words
from tracker.status.protocol import CommandError, quoted

_LARGEST: Final = 1000
"""The largest number of a ratio that is said in whole units."""
_EXACT: Final = Fraction(1, 10**15)
"""How far a ratio may be from whole units: the rounding of a quotient."""
_RATIO: Final = re.compile(r"(\d{1,6}):(\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reason:
    """Hold a person's reason for a change: a split, a new contract, a new account, or only a note."""

    account: str = ""
    split: str = ""
    becomes: str = ""
    ratio: str = ""
    """New units to old units of the contract that it becomes, as in 1:2; empty for 1:1."""
    moved: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Telling:
    """Hold an adjustment that passed all checks, and the holding that it is about."""

    key: str
    entry: AdjustmentTold


def telling(state: LedgerState, contract: str, reason: Reason) -> Telling:
    """Return the adjustment for a reason; raises CommandError where the position cannot have changed so."""
    said = [name for name in ("split", "becomes", "moved") if getattr(reason, name)]
    if len(said) > 1:
        raise CommandError(
            "bad_request",
            f"--{said[0]} and --{said[1]} cannot go together; give one, then the other in a second command",
        )
    if reason.ratio and not reason.becomes:
        raise CommandError("bad_request", "--ratio goes with --becomes; for a split give --split NEW:OLD")
    holding = holding_named(state, contract, reason.account)
    key = holding.key.text()
    settled = settled_of(state, key)
    if said and not holding.held and settled is None:
        raise CommandError("refused", f"nothing of {_words(holding)} is held, so there is nothing to adjust")
    if reason.split:
        each = _ratio(reason.split)
        _check_new(state, holding, each, reason.split)
        return Telling(key, AdjustmentTold(key, SPLIT, str(each), reason.note))
    if reason.becomes:
        into = _listed_contract(state, reason.becomes, holding)
        ratio = str(_ratio(reason.ratio)) if reason.ratio else ""
        return Telling(key, AdjustmentTold(key, ADJUSTED, ratio, reason.note, _onward(state, into, holding)))
    if reason.moved:
        into = ContractKey(_managed(state, reason.moved), holding.contract.con_id).text()
        return Telling(key, AdjustmentTold(key, TRANSFERRED, "", reason.note, _onward(state, into, holding)))
    if not reason.note:
        raise CommandError(
            "bad_request",
            "say what happened: --split NEW:OLD, --becomes CONTRACT, --moved ACCOUNT, or --note TEXT",
        )
    if _waiting(state, key) is None and settled is None and not_listed(state, holding) is None:
        raise CommandError(
            "refused",
            f"the broker's positions and the fills agree on {_words(holding)}, so there is nothing to adjust;"
            " `tracker inbox` lists the positions that no fill explains",
        )
    return Telling(key, AdjustmentTold(key, ADJUSTED, "", reason.note))


def _check_new(state: LedgerState, holding: Holding, ratio: Decimal, text: str) -> None:
    """Raise CommandError for a split that is in force already, unless the broker lists what a second one
    brings.
    """
    key = holding.key.text()
    rows = state.find(ADJUSTMENTS, "contract", key)
    known = [row for row in rows if is_same_ratio(row.ratio, ratio) and not row.undone]
    settled = settled_of(state, key)
    if known and settled is not None and settled.seq < known[-1].seq:
        settled = None  # The split was entered with these answers known, so it explains them.
    seen = _waiting(state, key) or (None if settled is None else settled.as_difference)
    if known and (seen is None or abs(seen.listed - scaled(seen.listed - seen.amount, ratio)) >= 1):
        raise CommandError(
            "refused",
            f"{_words(holding)} was split {text.replace(' ', '')} already (ID {known[-1].name};"
            f" `tracker undo {known[-1].name}` takes it back); a second split like it can be entered once the"
            " broker lists what it brings",
        )


def _listed_contract(state: LedgerState, text: str, holding: Holding) -> str:
    """Find the contract that another one became, in its account, by conId, symbol or local symbol; returns
    its key.
    """
    wanted = " ".join(text.split()).casefold()
    listed = {row.position.contract.con_id: row.position.contract for row in state.every(POSITIONS)}
    filled = {row.contract.con_id: row.contract for row in state.every(HOLDINGS)}
    found = [
        one
        for one in {**listed, **filled}.values()
        if wanted in (str(one.con_id), *_names(one)) and one.con_id != holding.contract.con_id
    ]
    if not found:
        if wanted in (str(holding.contract.con_id), *_names(holding.contract)):
            raise CommandError(
                "bad_request", f"{quoted(text)} is the contract itself; name the conId that it became"
            )
        raise CommandError(
            "not_found",
            f"neither a fill nor a position of {quoted(text)} is known; name the conId of what the broker"
            " holds now, and run this again once the broker lists it",
        )
    if len(found) > 1:
        several = ", ".join(f"{contract_json(one)['contract']} ({one.con_id})" for one in found[:5])
        raise CommandError("ambiguous", f"{quoted(text)} names several: {several}; name the conId")
    key = ContractKey(holding.account, found[0].con_id).text()
    if contract_of(state, key, holding) is None:
        raise CommandError(
            "not_found",
            f"the broker lists no position of {quoted(text)} in {holding.account}; run this again once it"
            " does",
        )
    return key


def _managed(state: LedgerState, account: str) -> str:
    link = state.get(LINKS, "last")
    accounts = link.accounts if link is not None else ()
    if account not in accounts:
        raise CommandError(
            "not_found",
            f"{quoted(account)} is no account of the newest login; its accounts are {', '.join(accounts)}",
        )
    return account


def _onward(state: LedgerState, into: str, holding: Holding) -> str:
    if leads_to(state, into, holding.key.text()):
        raise CommandError(
            "refused", f"that would lead {_words(holding)} back to itself; `tracker undo` takes a move back"
        )
    return into


def holding_named(state: LedgerState, text: str, account: str = "") -> Holding:
    """Find the holding with this conId, symbol or local symbol; raises CommandError unless there is exactly
    one.
    """
    wanted = " ".join(text.split()).casefold()
    found = [
        holding
        for holding in state.every(HOLDINGS)
        if wanted in (str(holding.contract.con_id), *_names(holding.contract))
        and (not account or holding.account == account)
    ]
    found = [one for one in found if one.held or _is_unexplained(state, one.key.text())] or found
    if len(found) == 1:
        return found[0]
    if not found:
        where = f" in account {quoted(account)}" if account else ""
        raise CommandError(
            "not_found",
            f"no fill of {quoted(text)}{where} is known; name the contract as `tracker fills` shows it",
        )
    several = ", ".join(f"{_words(one)} ({one.contract.con_id}) in {one.account}" for one in found[:5])
    raise CommandError(
        "ambiguous", f"{quoted(text)} names several: {several}; name one of them, and --account"
    )


def told_result(state: LedgerState, one: Telling, *, dry_run: bool = False) -> Json:
    """Return what the adjustment changed, or would change: what is held, and what each alert owns of it."""
    into = _as_json(_holding(state, one.entry.into)) if one.entry.into else None
    left = [row for key in (one.key, one.entry.into) if key for row in open_difference(state, key)]
    return {
        "done": not dry_run,
        "dry_run": dry_run,
        **_as_json(_holding(state, one.key)),
        "into": into,
        "unexplained": [difference_json(state, row) for row in left],
    }


def open_difference(state: LedgerState, contract: str) -> list[Difference]:
    """Return a contract's difference that waits for a second answer of the broker, if there is one."""
    row = _waiting(state, contract)
    return [] if row is None else [row]


def difference_json(state: LedgerState, one: Difference) -> Json:
    """Describe a position that no execution explains."""
    holding = _holding(state, f"{one.account} {one.con_id}")
    likely = "; a day is unproven, so missed fills are the likely cause" if one.after_gap else ""
    ours = number(holding.held - holding.pending)
    settled = "it is settled once a second answer agrees"
    if is_expiring(holding.contract, one.seen.time.date()):
        settled = "from its expiry day on it is settled only once that day is over and two answers lack it"
    return {
        "account": one.account,
        **contract_json(holding.contract),
        "listed": number(holding.held - holding.pending + one.amount),
        "difference": number(one.amount),
        "seen_at": instant(one.seen.time),
        "after_gap": one.after_gap,
        "says": f"the broker holds {number(holding.held - holding.pending + one.amount)},"
        f" {add_up(holding.base)} {ours}{likely}; {settled}",
    }


def adjustment_json(one: Adjustment) -> Json:
    """Describe an adjustment, for `why`."""
    if one.into or one.came_from:
        how = "went to" if one.into else "came from"
        what = f"all of it {how} {_elsewhere(one)} ({one.cause})"
    elif one.ratio is not None:
        what = f"units were exchanged {ratio_words(one.ratio)} ({one.cause})"
    elif one.change is not None:
        what = f"{number(abs(one.change))} {'came' if one.change > 0 else 'went'} ({one.cause})"
    else:
        what = f"the broker held {number(one.held)}, which the fills known then did not explain ({one.cause})"
    said = f"; {one.note}" if one.note else ""
    back = f"; `tracker undo {one.name}` takes it back"
    if one.undone:
        back = f", explained by {one.replaced_by}" if one.replaced_by else ", taken back"
    return {"at": instant(one.at), "what": f"{what}{said}{back}", "id": one.name}


def ratio_words(ratio: Decimal) -> str:
    """Say new units for old ones as people do, `1 for 3`, where that takes no large numbers."""
    whole = Fraction(ratio).limit_denominator(_LARGEST)
    if max(whole.numerator, whole.denominator) > _LARGEST or abs(whole - Fraction(ratio)) > _EXACT:
        return f"{number(ratio)} for 1"
    return f"{whole.numerator} for {whole.denominator}"


def _elsewhere(one: Adjustment) -> str:
    """Name the contract, account or both to or from which an adjustment moves a position."""
    account, con_id = (one.into or one.came_from).split(" ")
    if account == one.account:
        return f"conid {con_id}"
    return f"conid {con_id} in account {account}" if con_id != str(one.con_id) else f"account {account}"


def _ratio(text: str) -> Decimal:
    found = _RATIO.fullmatch(text.replace(" ", ""))
    if found is None or not int(found[1]) or not int(found[2]):
        raise CommandError(
            "bad_request", f"{quoted(text)} is no ratio; write new units, a colon, old units, as in 4:1"
        )
    return Decimal(found[1]) / Decimal(found[2])


def _names(contract: Contract) -> list[str]:
    names = (contract.symbol, contract.local_symbol, contract_words(contract))
    return [" ".join(name.split()).casefold() for name in names if name]


def _is_unexplained(state: LedgerState, key: str) -> bool:
    return _waiting(state, key) is not None or settled_of(state, key) is not None


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
