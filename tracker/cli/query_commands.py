"""The commands that ask about fills and alerts: fills, inbox, why, export, test.

Owns their flags and how each answer becomes text and an exit code. They read the files themselves, whether a
daemon runs or not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.answering import answer
from tracker.console import BAD_USAGE, Arguments, Command, Refusal, say_data

if TYPE_CHECKING:
    from tracker.config.settings import Settings
    from tracker.queries.fills import Selection

_TRIAL: Final = ("symbol", "side", "quantity", "strike", "right", "expiry", "con_id", "order_ref", "alert")
_MOST_DIGITS: Final = 18


def _fills(arguments: Arguments, default: str = "today") -> int:
    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.fills import fills

        wanted = _selection(arguments, settings, "" if arguments.own.alert else default)
        limit = getattr(arguments.own, "limit", None)
        return offline.read(settings, lambda journal, context: fills(journal, wanted, context.names, limit))

    return answer(arguments, ask, lambda words, answer: words.fills(answer))


def _selection(arguments: Arguments, settings: Settings, default: str) -> Selection:
    from tracker.clock import now
    from tracker.queries.fills import Selection
    from tracker.queries.lookup import read_since

    own = arguments.own
    text = " ".join(own.since or ()) or default
    since = read_since(text, now(), settings.login_zone()) if text else None
    return Selection(since, own.alert or "", own.account or "", everything=own.all)


def _declare_fills(parser: argparse.ArgumentParser) -> None:
    _declare_since(parser, "today, or everything with --alert")
    parser.add_argument("--alert", metavar="ALERTER/TICKER", help="only fills that touched this alert")
    parser.add_argument("--account", metavar="A", help="only fills of this account")
    parser.add_argument("--limit", type=_count, metavar="N", help="only the newest so many (default: all)")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also list corrected versions, and the line that sums up a combo beside its legs",
    )


def _count(text: str) -> int:
    """Read a count; raises the error that argparse turns into its usage error."""
    if not text.isascii() or not text.isdigit() or not text.strip("0"):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text) if len(text) < _MOST_DIGITS else sys.maxsize


def _declare_since(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--since",
        nargs="+",
        metavar="WHEN",
        help="from when on: a date (2025-11-18), a time (2025-11-18T09:30), `today`, or a number of days as"
        f" in `7 days` (default: {default})",
    )


def _inbox(arguments: Arguments) -> int:
    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.clock import now
        from tracker.queries.inbox import inbox
        from tracker.queries.lookup import read_since

        since = read_since(" ".join(arguments.own.since or ("today",)), now(), settings.login_zone())
        everything = arguments.own.all
        return offline.read(
            settings,
            lambda journal, context: inbox(
                journal, since, context.names, store_zone=context.store_zone, list_all=everything
            ),
        )

    return answer(arguments, ask, lambda words, answer: words.inbox(answer))


def _declare_inbox(parser: argparse.ArgumentParser) -> None:
    _declare_since(parser, "today; what needs a decision is listed whatever its age")
    parser.add_argument("--all", action="store_true", help="also list the fills that belong to no alert")


def _why(arguments: Arguments) -> int:
    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.clock import now
        from tracker.queries.why import why

        of, account = arguments.own.of, arguments.own.account or ""
        return offline.read(
            settings,
            lambda journal, context: why(journal, of, account, context.names, context.store_now(), now()),
        )

    return answer(arguments, ask, lambda words, answer: words.why(answer))


def _declare_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "of",
        metavar="EXEC_ID or ALERTER/TICKER",
        help="the fill or alert; a ticker alone, where one alerter has it",
    )
    parser.add_argument("--account", metavar="A", help="only the execution in this account")


def _export(arguments: Arguments) -> int:
    if arguments.own.as_json and arguments.own.csv is not None:
        raise Refusal(BAD_USAGE, ["tracker export: choose one of --csv and --json"])
    if arguments.own.as_json:
        return _fills(arguments, default="")
    from pathlib import Path

    place = None if arguments.own.csv in (None, "-") else Path(arguments.own.csv)

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline

        return {"count": offline.export(settings, _selection(arguments, settings, ""), place, say_data)}

    return answer(
        arguments, ask, lambda words, answer: f"{answer['count']} fills are in {place}" if place else ""
    )


def _declare_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--csv",
        nargs="?",
        metavar="FILE",
        help="the file to write, replacing one that is there (default: standard output);"
        " --json writes JSON instead and cannot be combined with it",
    )
    _declare_since(parser, "everything")
    parser.add_argument("--alert", metavar="ALERTER/TICKER", help="only fills that touched this alert")
    parser.add_argument("--account", metavar="A", help="only fills of this account")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also list corrected versions, and the line that sums up a combo beside its legs",
    )


def _test(arguments: Arguments) -> int:
    own = vars(arguments.own)

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline

        return offline.dry_run(settings, {name: own[name] for name in _TRIAL}, commit=own["commit"])

    return answer(arguments, ask, lambda words, answer: words.dry_run(answer))


def _declare_test(parser: argparse.ArgumentParser) -> None:
    def flag(name: str, metavar: str, help: str) -> None:
        parser.add_argument(name, metavar=metavar, help=help)

    flag("--alert", "ALERTER/TICKER", "take from this alert what the other flags do not say")
    flag("--symbol", "TSLA", "the underlying, or the stock itself; needed without --alert")
    flag("--strike", "95", "an option's strike; right and expiry belong to it")
    flag("--right", "C", "C or P")
    flag("--expiry", "YYYYMMDD", "the option's expiry")
    flag("--side", "BUY", "BUY or SELL (default: BUY)")
    flag("--quantity", "1", "how many (default: 1)")
    flag("--con-id", "N", "the contract's conid, to try the rule con_id")
    flag("--order-ref", "REF", "the order's reference, to try the rule order_ref")
    parser.add_argument(
        "--commit", action="store_true", help="also write a copy of alerts.json with the change, beside it"
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "fills": Command("list fills by time, alert or account", _fills, _declare_fills, reads=True),
    "inbox": Command("list the fills that need a decision from you", _inbox, _declare_inbox, reads=True),
    "why": Command("explain a fill or an alert", _why, _declare_why, reads=True),
    "export": Command("write fills as CSV", _export, _declare_export, reads=True),
    "test": Command("show which alerts a made-up fill would open, and why", _test, _declare_test, reads=True),
}
