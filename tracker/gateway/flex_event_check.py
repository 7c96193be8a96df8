"""Check whether the rows about positions that changed without a trade are complete.

Owns which columns the sections Option Exercises, Corporate Actions and Transfers require, and what makes one
of their rows broken. With either fault a report proves no day, since what such a row reports is not known. It
reads no file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from tracker.core.limits import quoted
from tracker.gateway.flex_columns import ACTIONS, EXERCISES, OTHERS, SECTIONS, TRANSFERS, Row
from tracker.gateway.flex_rows import DAY, EXPIRY, UnreadableRow, contract_in, is_number, number_in

CAUSES: Final = {"Exercise": "exercised", "Assignment": "assigned", "Expiration": "expired"}
DELIVERIES: Final = ("Buy", "Sell")
DIRECTIONS: Final = ("IN", "OUT")

_DATES: Final = ("date", "dateTime", "reportDate")
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    EXERCISES: ("assetCategory", "conid", "quantity", "transactionType"),
    ACTIONS: ("assetCategory", "conid", "quantity", "type", "actionDescription", "actionID"),
    TRANSFERS: ("assetCategory", "conid", "quantity", "direction"),
}
_DATED: Final = {EXERCISES: "date", ACTIONS: "reportDate", TRANSFERS: "date"}
"""The date column to ask for where a section has none."""


def lacking(rows: Mapping[str, Collection[Row]]) -> Iterator[str]:
    """Yield what each section lacks, by the query's labels; a column counts as there if one row has it."""
    for name in OTHERS:
        found = rows.get(name, ())
        there = {column for row in found for column in row}
        missing = [column for column in _NEEDED[name] if found and column not in there]
        if found and there.isdisjoint(_DATES):
            missing.append(_DATED[name])
        if missing:
            section = SECTIONS[name]
            labels = ", ".join(section.label_of(each) for each in missing)
            them = "it" if len(missing) == 1 else "them"
            yield f"{section.label} lacks {labels}: tick {them} in the query's section, run it again"


def broken_event(section: str, row: Row) -> str:
    """Return what is wrong with a dated row, beginning with an attribute; empty where nothing is.

    A column that the whole section lacks is not reported again for each row.
    """
    try:
        if not number_in(row, "quantity"):
            return ""
        contract = contract_in(row)
    except UnreadableRow as problem:
        return str(problem)
    for name in _NEEDED[section]:
        if row.get(name) == "" and name not in ("direction", "actionID", "actionDescription"):
            return f"{name} is empty"
    dates = [row[name] for name in _DATES if name in row]
    if dates and not row.get(DAY):
        return f"{_DATED[section]} is no date: {quoted(next(filter(None, dates), ''))}"
    if row.get("expiry") and not row.get(EXPIRY):
        return f"expiry is no date: {quoted(row['expiry'])}"
    if row.get("multiplier") and not is_number(row["multiplier"]):
        return f"multiplier is no number: {quoted(row['multiplier'])}"
    if contract.right not in ("", "C", "P"):
        return f"putCall is neither C nor P: {quoted(row.get('putCall', ''))}"
    return _kindless(section, row)


def _kindless(section: str, row: Row) -> str:
    kind = row.get("transactionType", "")
    if section == EXERCISES and kind and kind not in (*CAUSES, *DELIVERIES):
        known = ", ".join((*CAUSES, *DELIVERIES))
        return f"transactionType is none of {known}: {quoted(kind)}"
    direction = row.get("direction")
    if section == TRANSFERS and direction is not None and direction.upper() not in DIRECTIONS:
        signed = not direction and row["quantity"].startswith("-")
        return "" if signed else f"direction is neither IN nor OUT: {quoted(direction)}"
    return ""
