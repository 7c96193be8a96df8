"""The command about positions that changed without a fill: adjust.

Owns its flags, and how its answer becomes text and an exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.answering import answer, decide
from tracker.console import Arguments, Command

if TYPE_CHECKING:
    from tracker.cli.offline import EntriesAndAnswer
    from tracker.config.settings import Settings
    from tracker.journal.journal import Journal
    from tracker.queries.socket_commands import QueryContext

_REASONS: Final = ("account", "split", "becomes", "ratio", "moved", "note")


def _adjust(arguments: Arguments) -> int:
    own = arguments.own
    said = {name: getattr(own, name) or "" for name in _REASONS}

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.adjustments import Reason, telling, told_result
        from tracker.queries.socket_commands import rehearsed_adjustment

        reason = Reason(**said)
        if own.dry_run:
            return offline.read(
                settings,
                lambda journal, context: rehearsed_adjustment(context, journal.state, own.contract, reason),
            )
        request = {"command": "adjust", "contract": own.contract, **said}

        def make(journal: Journal, context: QueryContext) -> EntriesAndAnswer:
            one = telling(journal.state, own.contract, reason)
            return [one.entry], lambda after: told_result(after, one)

        return decide(settings, request, make)

    return answer(arguments, ask, lambda words, told: words.adjusted(told))


def _declare_adjust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "contract",
        metavar="CONTRACT",
        help="the contract as tables show it, its symbol, local symbol or conId",
    )
    parser.add_argument("--split", metavar="NEW:OLD", help="a split, as in 4:1: scales what alerts own")
    parser.add_argument(
        "--becomes",
        metavar="CONTRACT",
        help="a merger or a new conId: the lots move into this contract, with their owners",
    )
    parser.add_argument("--ratio", metavar="NEW:OLD", help="with --becomes: new units to old (default 1:1)")
    parser.add_argument(
        "--moved", metavar="ACCOUNT", help="a renumbered account: the lots move there, with their owners"
    )
    parser.add_argument(
        "--note", metavar="TEXT", help="take over what the broker holds, with a reason for later"
    )
    parser.add_argument("--account", metavar="A", help="the account, where several hold it")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what it would change, and change nothing"
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "adjust": Command("say why a position changed", _adjust, _declare_adjust, reads=True),
}
