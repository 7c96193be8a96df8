"""The commands that list alerts and sum up days: alerts, report.

Owns their flags and how each answer becomes text, CSV and an exit code. They read the files themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.answering import answer
from tracker.console import BAD_USAGE, Arguments, Command, Refusal, say_data

if TYPE_CHECKING:
    from datetime import datetime

    from tracker.config.settings import Settings


def _alerts(arguments: Arguments) -> int:
    own = arguments.own

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.alerts import alerts

        return offline.read(
            settings,
            lambda journal, context: alerts(
                journal.state,
                context.store_now(),
                context.names,
                name=own.alert or "",
                only_open=own.open,
                with_profit=True,
            ),
        )

    def in_words(words: Any, told: Mapping[str, Any]) -> str:
        from tracker.queries.report_text import alerts_text

        return alerts_text(words, told)

    return answer(arguments, ask, in_words)


def _declare_alerts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alert", nargs="?", metavar="ALERTER/TICKER", help="only the records of this name")
    parser.add_argument("--open", action="store_true", help="only those that are open")


def _report(arguments: Arguments) -> int:
    own = arguments.own
    if own.day is not None and own.since is not None:
        raise Refusal(BAD_USAGE, ["tracker report: choose one of --day and --since"])
    if own.as_json and own.csv is not None:
        raise Refusal(BAD_USAGE, ["tracker report: choose one of --csv and --json"])

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.day_report import report

        since, until = _span(settings, own.day, " ".join(own.since or ()))
        return offline.read(settings, lambda journal, context: report(journal, context.names, since, until))

    def in_words(words: Any, told: Mapping[str, Any]) -> str:
        from tracker.queries.day_report import csv_lines
        from tracker.queries.report_text import report_text

        if own.csv is None:
            return report_text(words, told)
        lines = list(csv_lines(told))
        if own.csv == "-":
            say_data("\n".join(lines))
            return ""
        _write(own.csv, lines)
        return f"{len(lines) - 1} round trips are in {own.csv}"

    return answer(arguments, ask, in_words)


def _write(name: str, lines: list[str]) -> None:
    """Write a new file, never an existing one; raises Refusal."""
    from pathlib import Path

    from tracker.console import FAILED

    try:
        with Path(name).open("x", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        cause = error.strerror or str(error)
        raise Refusal(
            FAILED, [f"tracker report: {name} cannot be written: {cause}; name another file"]
        ) from None


def _span(settings: Settings, day: str | None, since: str) -> tuple[datetime, datetime]:
    """Return the beginning and the end of the time to report; a day is one of the account's. Raises
    CommandError.
    """
    from datetime import timedelta

    from tracker.clock import now
    from tracker.queries.lookup import read_since

    at, zone = now(), settings.login_zone()
    begins = read_since(day or since or "today", at, zone)
    if day is None:
        return begins, at
    local = begins.astimezone(zone).replace(tzinfo=None) + timedelta(days=1)
    return begins, read_since(local.isoformat(), at, zone)


def _declare_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--day", metavar="DAY", help="one day, as in 2025-11-18 (default: today)")
    parser.add_argument(
        "--since",
        nargs="+",
        metavar="WHEN",
        help="from when on: a date, a time, or a number of days as in `7 days`",
    )
    parser.add_argument(
        "--csv",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the round trips as CSV, to a new file or standard output",
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "alerts": Command(
        "list each alert: what it shows, what it holds, its profit", _alerts, _declare_alerts, reads=True
    ),
    "report": Command("sum up a day: round trips, profit, fees", _report, _declare_report, reads=True),
}
