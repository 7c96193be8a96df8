"""Say alerts and reports in plain words, within 80 columns.

Owns that text. It receives the answer in its JSON form, so the text can never say what the JSON does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tracker.queries.text import TextTable, all_seats_text
from tracker.terminal import counted, wrap

_INDENT: Final = "    "


def alerts_text(words: TextTable, answer: Mapping[str, Any]) -> str:
    """Write a few lines for each alert."""
    lines = [counted(answer["total"], "alert")]
    if answer["store_trouble"]:
        lines += wrap(f"as last read: {answer['store_trouble']}")
    for row in answer["alerts"]:
        lines += wrap(f"{row['alert']}  {'open' if row['open'] else 'not open'}")
        lines += wrap(_asked(words, row), _INDENT)
        for held in row["holds"]:
            lines += wrap(
                f"holds {held['quantity']} {held['contract']} at {price(held['avg_price'])} in"
                f" {held['account']}, since {words.time(held['opened_at'])}"
                + ("" if held["managed"] else "; the login no longer manages the account"),
                _INDENT,
            )
        if together := row.get("all_seats"):
            lines += wrap(f"all seats: {all_seats_text(together)}", _INDENT)
        if row["changed_at"] is not None:
            lines += wrap(
                f"{counted(row['round_trips'], 'round trip')}, profit {price(row['profit'])}, fees"
                f" {price(row['fees'])}; last fill {words.time(row['changed_at'])}",
                _INDENT,
            )
    return "\n".join(line.rstrip() for line in lines)


def _asked(words: TextTable, row: Mapping[str, Any]) -> str:
    parts = (row["symbol"], row["expiry"], price(row["strike"]) if row["strike"] else None, row["right"])
    asked = " ".join(str(part) for part in parts if part)
    return f"asked for {asked or 'nothing that can be read'}, created {words.time(row['created'])}"


def report_text(words: TextTable, answer: Mapping[str, Any]) -> str:
    """Write the sums, then each round trip, what is open, and the days that are not proven complete."""
    lines = wrap(f"From {words.time(answer['since'])} to {words.time(answer['until'])}")
    for each in answer["total"]:
        lines += wrap(f"{_sums(each)}{_in(each)}")
    if not answer["total"]:
        lines.append("no fill of an alert")
    lines += _listed(
        "By alerter", [f"{each['alerter']}: {_sums(each)}{_in(each)}" for each in answer["alerters"]]
    )
    lines += _listed("Round trips", [_trip(words, each) for each in answer["round_trips"]])
    lines += _listed(
        "Open now",
        [
            f"{each['alert']}: {each['quantity']} {each['contract']} at {price(each['avg_price'])}, since"
            f" {words.time(each['opened_at'])}"
            for each in answer["open"]
        ],
    )
    lines += _listed("Days on which fills may be missing; see `tracker gaps`", answer["gaps"])
    return "\n".join(line.rstrip() for line in lines)


def report_line(answer: Mapping[str, Any], span: str) -> str:
    """Sum a report up in one line; empty where nothing was traded and nothing needs a person."""
    parts = [f"{_sums(each)}{_in(each)}" for each in answer["total"]]
    if len(answer["alerters"]) > 1:
        nets = [f"{each['alerter']} {price(each['net'])}" for each in answer["alerters"]]
        parts.append(f"net by alerter: {', '.join(nets)}")
    if answer["needs_you"]:
        parts.append(f"{counted(answer['needs_you'], 'fill')} in the inbox")
    if answer["gaps"]:
        parts.append(f"fills may be missing on {', '.join(answer['gaps'])}")
    if not parts:
        return ""
    if answer["open"]:
        parts.append(f"{counted(len(answer['open']), 'position')} open")
    return f"{span}: {'; '.join(parts)}"


def _sums(each: Mapping[str, Any]) -> str:
    rate = "" if each["win_rate"] is None else f", {each['won']} won ({each['win_rate']:.0%})"
    return (
        f"{counted(each['round_trips'], 'round trip')}{rate}; profit {price(each['profit'])}, fees"
        f" {price(each['fees'])}, net {price(each['net'])}"
    )


def _in(each: Mapping[str, Any]) -> str:
    return f" {each['currency']}" if each["currency"] else ""


def _trip(words: TextTable, each: Mapping[str, Any]) -> str:
    out = (
        "without a price"
        if each["profit"] is None
        else f"at {price(each['closing_price'])}, net {price(each['net'])}"
    )
    return (
        f"{each['alert']}: {each['side']} {each['quantity']} {each['contract']} at"
        f" {price(each['avg_price'])}, closed {out}, held {span(each['held_seconds'])}"
    )


def _listed(title: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield ""
        yield f"{title}: {len(rows)}"
        for row in rows:
            yield from wrap(row, "  ")


def price(value: float | int | None) -> str:
    """Write a number with at most 8 significant digits."""
    return "unknown" if value is None else f"{value:.8g}"


def span(seconds: int) -> str:
    """Write a length of time in its two largest units."""
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part} {lesser}"
    return f"{seconds} s"
