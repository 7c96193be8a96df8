"""Say an audit in plain words, within 80 columns.

Owns the text of `tracker reconcile`. It receives the answer in its JSON form, so the text can never say what
the JSON does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from tracker.queries.adjustments import ratio_words
from tracker.terminal import counted, wrap

_INDENT: Final = "    "
_AGREEING: Final = 10
"""How many trades that agree are listed; all that differ are listed."""


def reconciled(answer: Mapping[str, Any]) -> str:
    """Write what disagrees, what was repaired, and what is not ours."""
    lines = [*_head(answer)]
    lines += _trades(answer)
    if answer["imported"] is not None:
        lines += _imported(answer["imported"], dry_run=answer["dry_run"])
    if answer["repaired"]:
        lines += ["", f"Repaired: {len(answer['repaired'])}"]
        for each in answer["repaired"]:
            lines += wrap(f"{_kind(each)}: {each['subject']}", "  ")
    found = answer["discrepancies"]
    if found:
        lines += ["", f"Discrepancies: {answer['total']}, {answer['repairable']} of them repairable"]
        for each in found:
            lines += _discrepancy(each)
    elif answer["broker"]["reached"]:
        lines += ["", "No discrepancies."]
    if answer["not_ours"]:
        lines += ["", f"Held and not opened by any alert: {len(answer['not_ours'])}"]
        for row in answer["not_ours"]:
            lines += wrap(f"{row['account']}  {row['quantity']} {row['contract']}", "  ")
    return "\n".join(line.rstrip() for line in lines)


def _head(answer: Mapping[str, Any]) -> Iterator[str]:
    broker = answer["broker"]
    records = "no readable records" if answer["records"] is None else counted(answer["records"], "record")
    known = f"{counted(answer['executions_known'], 'known execution')}, {records}"
    if broker["reached"]:
        accounts = _listed(broker["accounts"])
        yield from wrap(
            f"Compared {known}, and {counted(answer['fill_events_processed'], 'fill')} of"
            f" {counted(answer['orders_examined'], 'order')} that the broker lists for {accounts}."
        )
    else:
        yield from wrap(f"Compared {known}. The broker was not asked: {broker['reason']}.")
    if broker["refused"]:
        yield from wrap(
            f"Not compared, since the Gateway's Read-Only API refuses: {_listed(broker['refused'])}."
        )


def _trades(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say for each trade that the broker lists whether the journal agrees; of many that agree list only
    some.
    """
    rows, differ = answer["trades"], answer["trades_differ"]
    total = len(rows) + answer["trades_left_out"]
    if not total:
        return
    yield ""
    yield f"Trades: {total}, of which {total - differ} agree"
    for each in rows[: differ + _AGREEING]:
        verdict = "agrees" if each["agrees"] else f"DIFFERS: {'; '.join(each['differs'])}"
        theirs = each["broker"]
        price = "" if theirs["avg_price"] is None else f" at {theirs['avg_price']}"
        yield from wrap(
            f"{each['side']} {theirs['quantity']} {each['contract']}{price} in"
            f" {counted(theirs['fills'], 'fill')}, order {each['perm_id'] or each['order_id']}: {verdict}",
            "  ",
        )
    if (more := total - differ - _AGREEING) > 0:
        yield f"  and {more} more that agree; --json lists them"


def _imported(imported: Mapping[str, Any], *, dry_run: bool) -> list[str]:
    days = f"; now complete: {_listed(imported['closed_gaps'])}" if imported["closed_gaps"] else ""
    voided = f", and voided {imported['voided']}" if imported["voided"] else ""
    verb = "Would import" if dry_run else "Imported"
    lines = wrap(f"{verb} {imported['new']} new of {imported['executions']} executions{voided}{days}.")
    for each in imported["changes"]:
        lines += wrap(
            f"{each['exec_id']}  {each['what']}: {each['execution']}, {each['time'][:19]} UTC", "  "
        )
    if imported["changes_left_out"]:
        lines += wrap(f"and {imported['changes_left_out']} more", "  ")
    if imported["waiting_gaps"]:
        lines += wrap(
            f"Not proven yet: {_listed(imported['waiting_gaps'])}. A report ends at 20:20 New York: import"
            " that of the next trade date, and those of all accounts, too."
        )
    if imported["foreign_accounts"]:
        lines += wrap(
            f"Left out, since this login never managed them: {', '.join(imported['foreign_accounts'])}."
        )
    for each in imported["unknown_cancels"]:
        lines += wrap(
            f"Transaction {each['transaction_id']} cancels trade {each['cancels']} of {each['contract']},"
            f" which neither the report nor the journal has, so {each['trade_date']} is not proven by it:"
            " import the report of the day of that trade, then this one again."
        )
    for each in imported["events"]:
        lines += wrap(_event(each), "  ")
    for problem in imported["unread_events"]:
        lines += wrap(f"Not read, so no day is proven: {problem}", "  ")
    if imported["absent_sections"]:
        names = "; ".join(
            f"{each['section']} (which {each['tells']})" for each in imported["absent_sections"]
        )
        lines += wrap(f"The report lacks these sections, so what they report is not known: {names}.")
    return lines


def _event(event: Mapping[str, Any]) -> str:
    """Say a change of a position that no trade brought; of a row that cancels one, what that was."""
    change, ratio = Decimal(str(event["quantity"])), event["ratio"]
    if event["cancels"]:
        change, ratio = -change, None
    more = "" if ratio is None else f", {ratio_words(Decimal(ratio))}"
    more += f", now {event['becomes']}" if event["becomes"] else ""
    more += f", other account {event['other_account']}" if event["other_account"] else ""
    day = f" on {event['day']}" if event["day"] else ""
    more += "; it explains what the broker holds" if event["applied"] else ""
    if event["unfit"]:
        more += "; not counted, since it does not fit what was held by the fills and reports so far:"
        more += " import the older reports first, then this one again"
    said = f"{change:+g}" + (" is cancelled" if event["cancels"] else "")
    return f"{event['account']}  {event['contract']} {event['cause']}{day}: {said}{more}"


def _discrepancy(each: Mapping[str, Any]) -> Iterator[str]:
    mark = "  [repairable]" if each["repairable"] else ""
    yield from wrap(f"{_kind(each)}: {each['subject']}{mark}", "  ")
    yield from wrap(each["message"], _INDENT)
    yield from wrap(f"-> {each['next_step']}", _INDENT)


def _kind(each: Mapping[str, Any]) -> str:
    return str(each["kind"]).replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no account"
