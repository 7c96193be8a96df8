"""The commands by which a person decides: assign, dismiss, and the acceptance of a gap.

Owns their flags and how each answer becomes text and an exit code. They go through the daemon, else they take
both locks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.answering import answer, decide
from tracker.console import BAD_USAGE, Arguments, Command, Refusal

if TYPE_CHECKING:
    from tracker.cli.offline import Decide
    from tracker.config.settings import Settings
    from tracker.core.journal_entries import Entry
    from tracker.core.state import LedgerState
    from tracker.queries.as_json import Json
    from tracker.queries.decisions import Decision


def _assign(arguments: Arguments) -> int:
    own = arguments.own

    def decision(settings: Settings) -> Decide:
        from tracker.queries.decisions import assignment

        return lambda state, alerts, names: _taken(
            assignment(
                state,
                alerts,
                names,
                exec_id=own.exec_id,
                alert=own.alert,
                account=own.account or "",
                watched=settings.gateway.accounts,
            )
        )

    request = {"command": "assign", "exec_id": own.exec_id, "alert": own.alert, "account": own.account or ""}
    return answer(
        arguments,
        lambda settings: decide(settings, request, decision(settings)),
        lambda words, answer: words.assigned(answer),
    )


def _declare_assign(parser: argparse.ArgumentParser) -> None:
    _declare_fill(parser)
    parser.add_argument("alert", metavar="ALERTER/TICKER", help="the alert that it belongs to")


def _declare_fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("exec_id", metavar="EXEC_ID", help="the fill, as `tracker inbox` names it")
    parser.add_argument("--account", metavar="A", help="the account, where several have this execution")


def _dismiss(arguments: Arguments) -> int:
    own = arguments.own

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.queries.decisions import dismissal

        request = {"command": "dismiss", "exec_id": own.exec_id, "account": own.account or ""}
        account = own.account or ""
        return decide(
            settings, request, lambda state, alerts, names: _taken(dismissal(state, own.exec_id, account))
        )

    return answer(arguments, ask, lambda words, answer: words.dismissed(answer))


def _taken(decision: Decision) -> tuple[Entry | None, Callable[[LedgerState], Json]]:
    from tracker.queries.decisions import decision_result

    return decision.entry, lambda state: decision_result(state, decision)


def _gaps(arguments: Arguments) -> int:
    own = arguments.own

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.gaps import acceptance, gaps

        if own.accept is None:
            return offline.read(settings, lambda journal, context: gaps(journal.state, everything=own.all))
        request = {"command": "gaps", "accept": own.day, "all": own.all}
        return decide(
            settings,
            request,
            lambda state, alerts, names: (
                acceptance(state, own.day),
                lambda after: gaps(after, everything=own.all),
            ),
        )

    if own.accept is not None and own.day is None:
        raise Refusal(BAD_USAGE, ["tracker gaps accept: name the day, as in 2025-11-18"])
    return answer(arguments, ask, lambda words, answer: words.gaps(answer))


def _declare_gaps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("accept", nargs="?", choices=["accept"], help="close a gap by hand")
    parser.add_argument("day", nargs="?", metavar="DAY", help="the day to accept, as in 2025-11-18")
    parser.add_argument("--all", action="store_true", help="list the closed ones too")


COMMANDS: Final[Mapping[str, Command]] = {
    "assign": Command("assign a fill to an alert", _assign, _declare_assign, reads=True),
    "dismiss": Command("take a fill out of the inbox", _dismiss, _declare_fill, reads=True),
    "gaps": Command(
        "list the days on which fills may be missing, or accept one", _gaps, _declare_gaps, reads=True
    ),
}
