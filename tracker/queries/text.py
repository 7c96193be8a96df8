"""Say answers in plain words, within 80 columns.

Owns the text of fills, inbox, why, assign, dismiss and test. It receives the answer in its JSON form, so the
text can never say what the JSON does not. Texts of files and of the broker are shown without control
characters, since a terminal would obey them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from tracker.terminal import counted, labelled, printable, wrap

_LABEL: Final = 12
_INDENT: Final = "    "
_OUTCOMES: Final = {
    "applied": "written",
    "duplicate": "already there",
    "gone": "not written: the record was not there",
}


class TextTable:
    """Write answers; times are shown in `zone`."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    # Fills

    def fills(self, answer: Mapping[str, Any]) -> str:
        """Write a list of fills, two lines each."""
        rows = answer["fills"]
        of = "".join(
            f" {word} {answer[key]}" for word, key in (("of", "alert"), ("in", "account")) if answer[key]
        )
        since = f" since {self._time(answer['since'])}" if answer["since"] else ""
        head = f"{counted(answer['total'], 'fill')}{of}{since}"
        if answer["left_out"]:
            head += f"; the newest {len(rows)} are shown"
        return _page([head, *self._fill_rows(rows)])

    def _fill_rows(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        several = len({row["account"] for row in rows}) > 1
        for row in rows:
            yield from self._fill(row, with_account=several)

    def _fill(
        self, fill: Mapping[str, Any], *, with_account: bool = False, indent: str = ""
    ) -> Iterator[str]:
        fee = "" if fill["commission"] is None else f"  fee {fill['commission']:g}"
        yield from wrap(
            f"{self._time(fill['time'], zone=False)}  {fill['side']:<4} {fill['quantity']!s:>4}"
            f"  {fill['contract']:<23} {fill['price']!s:>8}{fee}",
            indent,
        )
        where = f"  {fill['account']}" if with_account else ""
        yield from wrap(f"{fill['exec_id']}{where}  {fill['outcome']}", indent + _INDENT)

    # Inbox

    def inbox(self, answer: Mapping[str, Any]) -> str:
        """Write what needs a person, the legs of a combo under it, and the count of the rest."""
        items, unreadable = answer["needs_you"], answer["undecodable"]
        combos = {(combo["account"], combo["perm_id"]): combo for combo in answer["combos"]}
        lines = [f"Needs you: {_needs(answer['counts'])}"]
        orders = {order["number"]: order for order in answer.get("orders", ())}
        lines += self._items(items, combos, orders)
        for row in unreadable:
            lines += wrap(f"{self._time(row['received_at'])}  {row['kind']} set aside: {row['reason']}")
            name = row["exec_id"] or f"frame {row['frame']}"
            lines += wrap(
                f"{name}  kept in the journal; read again when the broker repeats it, or by a later version",
                _INDENT,
            )
        for each in answer.get("unexplained", []):
            lines += wrap(f"{each['contract']} in {each['account']}: {each['says']}")
            cause = f"name the cause with `tracker adjust {each['con_id']} --note TEXT`"
            missed = (
                "bring missed fills with `tracker reconcile --flex FILE`, or " if each["after_gap"] else ""
            )
            lines += wrap(f"{missed}{cause}, or --split, --becomes, --moved; see --help", _INDENT)
        for each in answer.get("orphaned", []):
            lines += _orphan(each)
        if items:
            lines += [
                "",
                *wrap(
                    "Decide about an order by its number: tracker assign NUMBER ALERTER/TICKER (with"
                    " --quantity N about a part of it), tracker dismiss NUMBER; tracker undo takes it back"
                ),
            ]
        if answer.get("hint"):
            lines += ["", *wrap(answer["hint"])]
        rest = answer["not_ours"]
        dismissed = f", {rest['dismissed']} of them dismissed" if rest["dismissed"] else ""
        hint = "" if "others" in answer else "; --all lists them"
        since = self._time(rest["since"])
        lines += ["", *wrap(f"Other fills since {since}: {rest['count']}{dismissed}{hint}")]
        lines += self._items(answer.get("others", []), combos, {})
        return _page(lines)

    def _items(
        self,
        items: Sequence[Mapping[str, Any]],
        combos: Mapping[tuple[str, int], Mapping[str, Any]],
        orders: Mapping[int, Mapping[str, Any]],
    ) -> Iterator[str]:
        told: set[tuple[str, int]] = set()
        for item in items:
            fill = item["fill"]
            key = (fill["account"], item["combo"])
            order = orders.get(item.get("number") or 0)
            if item["combo"] is None and order is not None and len(order["fills"]) > 1:
                # One line for all fills of an order, in the place of its first.
                if fill["exec_id"] == order["fills"][0]:
                    yield from self._order(order)
            elif item["combo"] is None:
                yield from self._item(item, "")
            elif key not in told:
                told.add(key)
                yield from self._combo(combos[key], [each for each in items if _key(each) == key])

    def _combo(self, combo: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        for line in combo["lines"]:
            yield from self._fill(line)
        mine = {item["fill"]["exec_id"]: item for item in items}
        for leg in combo["legs"]:
            item = mine.get(leg["exec_id"])
            if item is None:
                yield from self._fill(leg, indent=_INDENT)
            else:
                yield from self._item(item, _INDENT)

    def _order(self, order: Mapping[str, Any]) -> Iterator[str]:
        """Write the fills of one order, which are decided together."""
        fill = order["fill"] | {
            "quantity": order["quantity"],
            "price": f"{order['avg_price']:.8g}",
            "commission": None,
        }
        name = f"{counted(len(order['fills']), 'fill')} of order {fill['perm_id']}: {order['fills'][0]} ..."
        if order["left"] != order["quantity"]:
            name += f"  {order['left']} left"
        fill |= {"exec_id": name}
        yield from self._item({**order, "fill": fill}, "")

    def _item(self, item: Mapping[str, Any], indent: str) -> Iterator[str]:
        fill = item["fill"]
        if (number := item.get("number")) is not None:
            fill = fill | {"exec_id": f"number {number}  {fill['exec_id']}"}
        yield from self._fill(fill, indent=indent)
        for alert in item["alerts"] if item["decision"] == "ambiguous" else ():
            yield from wrap(f"- {alert['alert']} may be meant, by {alert['rule']}", indent + _INDENT)
        for rejected in item["rejected"]:
            if rejected["near"]:
                yield from wrap(f"- {rejected['alert']}: {rejected['reason']}", indent + _INDENT)

    # Why

    def why(self, answer: Mapping[str, Any]) -> str:
        """Write the account of a fill or of an alert."""
        if answer["about"] == "execution":
            return _page(line for row in answer["executions"] for line in self._why_execution(row))
        lines = wrap(str(answer["alert"]))
        if answer["store_trouble"]:
            lines += _row("store", f"cannot be read now: {answer['store_trouble']}")
        for record in answer["records"]:
            lines += ["", *self._why_record(record)]
        return _page(lines)

    def _why_execution(self, row: Mapping[str, Any]) -> Iterator[str]:
        fill = row["fill"]
        yield from wrap(f"{fill['side']} {fill['quantity']} {fill['contract']} at {fill['price']}")
        yield from _row("execution", f"{fill['exec_id']} in {fill['account']}")
        unread = "" if fill["time_known"] else " (the broker's text could not be read; this is the receipt)"
        yield from _row("executed", self._time(fill["time"]) + unread)
        yield from _row(
            "received", f"{self._time(fill['received_at'])}, frame {row['frame']}, {fill['source']}"
        )
        yield from _row("order", _order(fill))
        yield from _row("outcome", fill["outcome"])
        yield from _row("position", f"opens {fill['opening']}, closes {fill['closing']}")
        if fill["attention"]:
            yield from _row("needs you", f"{fill['attention']}{', dismissed' if fill['dismissed'] else ''}")
        yield from _row("decision", row["decision"] + (f": {row['reason']}" if row["reason"] else ""))
        for alert in row["alerts"]:
            yield from _row("", f"{alert['alert']} of {alert['created_at']} by {alert['rule']}")
        yield from _listed("rejected", (f"{each['alert']}: {each['reason']}" for each in row["rejected"]))
        yield from _listed("versions", (f"{each['exec_id']}: {each['outcome']}" for each in row["versions"]))
        yield from _listed("since then", map(self._note, row["decided_again"]))
        yield from _listed("owners", map(self._owned, row["ownership"]))
        yield from _listed("written", map(self._written_to_alert, row["written"]))

    def _owned(self, entry: Mapping[str, Any]) -> str:
        """Say what was decided about a lot, after which execution in time, and when it was decided."""
        return f"{self._time(entry['place'])}  {entry['what']}"

    def _why_record(self, record: Mapping[str, Any]) -> Iterator[str]:
        con_id = record["option_conid"] or "none"
        yield from wrap(
            f"Record of {record['created_at'] or 'unknown date'}, option_conid {con_id}: {record['state']}"
        )
        yield from _row("store", _in_store(record))
        if together := record.get("all_seats"):
            yield from _row("all seats", all_seats_text(together))
        if record["reads_as"]:
            yield from _row("read as", _reads_as(record["reads_as"]))
        yield from _listed("holds", map(self._held_position, record["holds"]))
        yield from _listed("unexplained", (each["says"] for each in record.get("unexplained", ())))
        changed = (f"{self._time(each['at'])}  {each['what']}" for each in record.get("adjustments", ()))
        yield from _listed("adjusted", changed)
        if record["fills"]:
            yield from _row("fills", counted(len(record["fills"]), "fill"))
            for fill in record["fills"]:
                yield from self._fill(fill, indent=_INDENT)
        yield from _listed("written", map(self._written, record["written"]))
        yield from _listed("changed", map(self._note, record["others_did"]))
        if record["not_given"]:
            shown, total = len(record["not_given"]), record["not_given_count"]
            newest = f", the newest {shown}" if shown < total else ""
            yield from _row("rejected", counted(total, "fill") + newest)
            for each in record["not_given"]:
                yield from self._fill({**each["fill"], "outcome": each["reason"]}, indent=_INDENT)

    def _held_position(self, position: Mapping[str, Any]) -> str:
        price = f"{position['avg_price']:.8g}"
        words = f"{position['quantity']} {position['contract']} at {price} in {position['account']}"
        words += "" if position["managed"] else ", which the login no longer manages"
        if position["closed_at"]:
            by = f" ({position['closed_by']})" if position["closed_by"] else ""
            words += f", closed {self._time(position['closed_at'])}{by}"
        if since := position.get("missing_since"):
            words += f", not in the broker's answer of {self._time(since)}; it closes once a later one agrees"
        if position["shared_with"]:
            words += f", shared with {', '.join(position['shared_with'])}"
        return words

    def _note(self, note: Mapping[str, Any]) -> str:
        return f"{self._time(note['at'])}  {note['what']}"

    def _written_to_alert(self, entry: Mapping[str, Any]) -> str:
        return f"{self._written(entry)} to {entry['alert']}"

    def _written(self, entry: Mapping[str, Any]) -> str:
        outcome = _OUTCOMES.get(entry["outcome"], entry["outcome"])
        if entry["again"]:
            outcome = "written again, since another program undid it"
        return f"{self._time(entry['at'])}  {outcome}: {_shows(entry['update'])}"

    # Decisions and trials

    def assigned(self, answer: Mapping[str, Any]) -> str:
        """Write the result of assigning a fill."""
        fill = answer["fill"]
        lines = list(wrap(f"{_fills_of(answer)} {_verb(answer)} assigned to {answer['alert']}"))
        shows = answer["shows"]
        if answer["nothing_left"]:
            lines += _row("left", "nothing: it was closed before; later fills of its order go to the alert")
        if shows is None:
            lines += _row("shows", f"nothing yet: {fill['outcome']}")
        else:
            lines += _row("shows", _shows(shows))
            if not answer["dry_run"]:
                lines += _row("store", _delivery(shows["delivery"]))
        lines += _undo_hint(answer)
        lines += _listed("also", (f"{each['alert']} shows {_shows(each)}" for each in answer["also_changed"]))
        return _page(lines)

    def dismissed(self, answer: Mapping[str, Any]) -> str:
        """Write the result of dismissing a fill."""
        lines = [*wrap(f"{_fills_of(answer)} {_verb(answer)} dismissed; `tracker why` still shows it")]
        return _page([*lines, *_undo_hint(answer)])

    def undone(self, answer: Mapping[str, Any]) -> str:
        """Write what was taken back, or would be."""
        verb = "was already" if answer["already_undone"] else _verb(answer)
        follows = "; `tracker why` shows what follows" if answer["done"] else ""
        head = wrap(f"{answer['what']} (ID {answer['undone']}) {verb} taken back{follows}")
        shows = (f"{each['alert']} {_shows(each)}" for each in answer["shows"])
        return _page([*head, *_listed("shows", shows)])

    def adjusted(self, answer: Mapping[str, Any]) -> str:
        """Write what an adjustment changed, or would."""
        verb = "is now" if answer["done"] else "would be"
        into = answer["into"]
        lines = [
            line
            for one in (answer, into)
            if one is not None
            for line in wrap(
                f"{one['contract']} ({one['con_id']}) in {one['account']}: {one['held']} {verb} held"
            )
        ]
        lines += _listed(
            "alerts",
            (
                f"{each['alert']}: {each['quantity']} at {each['avg_price']:.8g}"
                for each in (answer if into is None else into)["alerts"]
            ),
        )
        lines += _listed("unexplained", (each["says"] for each in answer["unexplained"]))
        return _page([*lines, *_undo_hint(answer)])

    def gaps(self, answer: Mapping[str, Any]) -> str:
        """Write on which days fills may be missing."""
        until = answer["proven_until"]
        lines = [
            f"complete until {self._time(until)}" if until else "not known to be complete for any time yet"
        ]
        for gap in answer["gaps"]:
            how = gap["closed_how"]
            if how == "clock":
                says = "withdrawn: it had not ended, this host's clock was ahead"
            else:
                says = f"closed by {how}" if how else "open: fills may be missing"
            lines.append(f"{gap['day']}  {says}")
        if answer["open"]:
            lines += wrap(
                "A gap closes by itself once the broker's positions agree with the journal. Otherwise import"
                " a Flex report of the day (tracker reconcile --flex FILE), or accept the gap (tracker gaps"
                " accept DAY)"
            )
        elif not answer["gaps"]:
            lines.append("no gaps")
        if answer.get("dry_run"):
            lines.append("This is what would change; nothing was changed.")
        return _page([*lines, *_undo_hint(answer)])

    def dry_run(self, answer: Mapping[str, Any]) -> str:
        """Write what a made-up fill would do."""
        tried = answer["tried"]
        head = {
            "would_open": f"would open {counted(len(answer['opens']), 'alert')}",
            "ambiguous": "is ambiguous",
        }
        verdict = head.get(answer["status"], "would open no alert")
        lines = list(wrap(f"{tried['side']} {tried['quantity']} {tried['contract']} {verdict}"))
        for each in answer["opens"]:
            lines += _row("opens", f"{each['alert']} by {each['rule']}: {_shows(each)}")
        if answer["reason"]:
            lines += _row("because", answer["reason"])
        if answer["status"] == "ambiguous":
            lines += _listed("one of", (f"{each['alert']} by {each['rule']}" for each in answer["alerts"]))
        lines += _listed("rejected", (f"{each['alert']}: {each['reason']}" for each in answer["rejected"]))
        lines += _row("assumed", answer["assumed"])
        lines += _row("written", answer["copy"] or "nothing; --commit writes a copy beside the store")
        return _page(lines)

    def time(self, text: str | None) -> str:
        """Write an instant to the second, with the name of its zone."""
        return self._time(text)

    def _time(self, text: str | None, *, zone: bool = True) -> str:
        """Write an instant to the second, with the name of its zone where asked."""
        if text is None:
            return "unknown time"
        local = datetime.fromisoformat(text).astimezone(self._zone)
        return local.strftime("%Y-%m-%d %H:%M:%S") + (f" {local.tzname()}" if zone else "")


def _key(item: Mapping[str, Any]) -> tuple[str, int]:
    return item["fill"]["account"], item["combo"]


def _undo_hint(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say how a decision is taken back."""
    if answer.get("id"):
        yield from _row("ID", f"{answer['id']}; `tracker undo {answer['id']}` takes it back")


def _verb(answer: Mapping[str, Any]) -> str:
    if answer["dry_run"]:
        return "would be"
    several = answer.get("quantity") not in (None, 1)
    return ("are now" if several else "is now") if answer["done"] else "was already"


def _fills_of(answer: Mapping[str, Any]) -> str:
    """Name a fill, and how many others of its order go with it."""
    quantity = answer.get("quantity")
    if quantity is not None:
        of = f"order {answer['fill']['perm_id']}" if answer["whole_order"] else answer["fill"]["exec_id"]
        return f"{quantity} of {of}"
    others = len(answer["order"]) - 1
    more = f" with {counted(others, 'other fill')} of its order" if others > 0 else ""
    return f"{answer['fill']['exec_id']}{more}"


def _needs(counts: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "nothing"
    )


def _orphan(record: Mapping[str, Any]) -> Iterator[str]:
    """Say what a record that is gone holds, and the two ways out."""
    yield from wrap(f"{record['alert']}: {record['says']}")
    for fill in (each["fill"] for each in record["holds"] if each["fill"]):
        yield from wrap(f"`tracker assign {fill} ALERTER/TICKER` gives its order to another alert", _INDENT)
    back = (
        "`tracker reconcile --apply` puts the record back into an alerts.json that has no other of its name"
    )
    yield from wrap(back, _INDENT)


def _order(fill: Mapping[str, Any]) -> str:
    order = f"permId {fill['perm_id'] or 'unknown'}, order {fill['order_id']} of client {fill['client_id']}"
    return f"{order}, reference {fill['order_ref']}" if fill["order_ref"] else order


def _in_store(record: Mapping[str, Any]) -> str:
    if record["in_store"] is None:
        return "unknown"
    if not record["in_store"]:
        return "the record is not there any more"
    is_open = "open" if record["open_in_store"] else "not open"
    agrees = {None: "", True: ", as decided", False: ", NOT as decided; it is applied again"}
    return is_open + agrees[record["agrees"]]


def all_seats_text(shown: Mapping[str, Any]) -> str:
    """Say what all trackers of a shared store show, and at which of them the alert is open."""
    price = "" if shown["avg_price"] is None else f" at {shown['avg_price']:.8g}"
    return (
        f"{shown['quantity'] or 0}{price}, open at {', '.join(shown['seats'])}"
        if shown["open"]
        else "not open"
    )


def _reads_as(read: Mapping[str, Any]) -> str:
    kind = "option" if read["option"] else "stock"
    parts = [read["symbol"], read["expiry"], read["strike"], read["right"]]
    words = f"{kind} {' '.join(str(each) for each in parts if each is not None)}"
    if read["con_ids"]:
        words += f", conid {', '.join(map(str, read['con_ids']))}"
    elif read["option"]:
        needed = {"strike": read["strike"], "side": read["right"]}
        # What is there and cannot be read is among the problems.
        unread = {each.partition(" ")[0] for each in read["problems"]}
        lacks = [name for name, value in needed.items() if value is None and name not in unread]
        words += f"; no {' and no '.join(lacks)} in its alert_details" if lacks else ""
    return "; ".join([words, *read["problems"]])


def _shows(update: Mapping[str, Any] | None) -> str:
    """Say what a record shows: open or closed, what is held, the state of its last order."""
    if update is None:
        return "the record was removed; the journal keeps it whole"
    parts = ["removed" if update.get("remove") else "open" if update["open"] else "not open"]
    position, last = update["position"], update["last_order_update"]
    if position:
        parts.append(f"{position['quantity']} held")
    if last:
        parts.append(f"{last['status']} {last['filled_qty']}")
        if last["commission"] is not None:
            parts.append(f"fee {last['commission']:g}")
    return ", ".join(parts)


def _delivery(state: str) -> str:
    words = {
        "applied": "written",
        "pending": "not written yet; the tracker tries again until it is",
        "gone": "the record is not there any more",
    }
    return words.get(state, state)


def _row(label: str, text: object) -> list[str]:
    return labelled(label, text, _LABEL)


def _listed(label: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield a row for each text, the label before the first."""
    for number, text in enumerate(texts):
        yield from _row("" if number else label, text)


def _page(lines: Iterable[str]) -> str:
    return "\n".join(map(printable, lines))
