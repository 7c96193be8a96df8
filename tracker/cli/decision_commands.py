"""The commands by which a person decides: assign, dismiss, undo, and the acceptance of a gap.

Owns their flags and how each answer becomes text and an exit code. They go through the daemon, else they take
both locks; with --dry-run they only read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.answering import answer, decide
from tracker.console import BAD_USAGE, Arguments, Command, Refusal

if TYPE_CHECKING:
    from tracker.cli.offline import EntriesAndAnswer
    from tracker.config.settings import Settings
    from tracker.core.alerters import AlerterNames
    from tracker.core.model import Alert
    from tracker.core.state import LedgerState
    from tracker.journal.journal import Journal
    from tracker.queries.decisions import Decision
    from tracker.queries.socket_commands import QueryContext


def _assign(arguments: Arguments) -> int:
    own = arguments.own
    exec_id, alert = own.fill, own.alert
    if own.order is not None and alert is None:
        # `assign --order PERM_ID ALERTER/TICKER` names no fill beside it.
        exec_id, alert = None, exec_id
    _check_named("assign", exec_id, own.order)
    if alert is None:
        raise Refusal(
            BAD_USAGE, ["tracker assign: name the alert as ALERTER/TICKER; see tracker assign --help"]
        )

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.queries.decisions import assignment

        def decision(state: LedgerState, alerts: Sequence[Alert], names: AlerterNames) -> Decision:
            return assignment(
                state,
                alerts,
                names,
                exec_id=exec_id or "",
                alert=alert,
                account=own.account or "",
                order=own.order or "",
                quantity=own.quantity or "",
                watched=settings.gateway.accounts,
            )

        request = {"command": "assign", "alert": alert, "quantity": own.quantity, **_named(own, exec_id)}
        return _decided(settings, own, request, decision)

    return answer(arguments, ask, lambda words, answer: words.assigned(answer))


def _dismiss(arguments: Arguments) -> int:
    own = arguments.own
    _check_named("dismiss", own.fill, own.order)

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.queries.decisions import dismissal

        def decision(state: LedgerState, alerts: Sequence[Alert], names: AlerterNames) -> Decision:
            return dismissal(state, own.fill or "", own.account or "", own.order or "")

        return _decided(settings, own, {"command": "dismiss", **_named(own, own.fill)}, decision)

    return answer(arguments, ask, lambda words, answer: words.dismissed(answer))


def _check_named(command: str, fill: str | None, order: str | None) -> None:
    if (fill is None) == (order is None):
        what = (
            "name a fill by its EXEC_ID, or an item by its number" if fill is None else "name one, not both"
        )
        raise Refusal(BAD_USAGE, [f"tracker {command}: {what}, or an order with --order PERM_ID"])


def _named(own: argparse.Namespace, fill: str | None) -> dict[str, Any]:
    return {"exec_id": fill or "", "order": own.order or "", "account": own.account or ""}


def _decided(
    settings: Settings,
    own: argparse.Namespace,
    request: dict[str, Any],
    decision: Callable[[LedgerState, Sequence[Alert], AlerterNames], Decision],
) -> dict[str, Any]:
    """Take a decision about a fill, or with --dry-run only say what it would do."""
    from tracker.cli import offline
    from tracker.queries.decisions import decision_result
    from tracker.queries.socket_commands import rehearsed_decision

    if own.dry_run:
        return offline.read(
            settings,
            lambda journal, context: rehearsed_decision(
                context, journal.state, decision(journal.state, context.store.alerts(), context.names)
            ),
            must_read=True,
        )

    def make(journal: Journal, context: QueryContext) -> EntriesAndAnswer:
        made = decision(journal.state, context.store.alerts(), context.names)
        return made.entries, lambda state: decision_result(state, made)

    return decide(settings, request, make)


def _declare_assign(parser: argparse.ArgumentParser) -> None:
    _declare_fill(parser)
    parser.add_argument("alert", nargs="?", metavar="ALERTER/TICKER", help="the alert that it belongs to")
    parser.add_argument(
        "--quantity",
        metavar="N",
        help="assign only so much of the fill, or of its order if that is named; the rest stays as it is",
    )


def _declare_fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "fill",
        nargs="?",
        metavar="EXEC_ID or NUMBER",
        help="the fill, or the number of its order, as `tracker inbox` names them; its order goes with it",
    )
    parser.add_argument("--order", metavar="PERM_ID", help="an order of the inbox by its permId instead")
    parser.add_argument("--account", metavar="A", help="the account, where several have this execution")
    _declare_dry_run(parser)


def _declare_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="show what it would change, and change nothing"
    )


def _undo(arguments: Arguments) -> int:
    own = arguments.own

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.socket_commands import rehearsed_undo
        from tracker.queries.undoing import undone_result

        if own.dry_run:
            return offline.read(
                settings,
                lambda journal, context: rehearsed_undo(context, journal, own.id, own.account or "")[1],
            )

        def make(journal: Journal, context: QueryContext) -> EntriesAndAnswer:
            one, _ = rehearsed_undo(context, journal, own.id, own.account or "")
            return one.entries, lambda state: undone_result(state, one)

        return decide(settings, {"command": "undo", "id": own.id, "account": own.account or ""}, make)

    return answer(arguments, ask, lambda words, told: words.undone(told))


def _declare_undo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id",
        metavar="ID",
        help="the ID that the decision printed; else an EXEC_ID for the last decision about it, or the day of"
        " an accepted gap",
    )
    parser.add_argument("--account", metavar="A", help="the account, where several have this execution")
    _declare_dry_run(parser)


def _gaps(arguments: Arguments) -> int:
    own = arguments.own

    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.gaps import acceptance, gaps

        if own.accept is None:
            return offline.read(settings, lambda journal, context: gaps(journal.state, everything=own.all))
        if own.dry_run:
            return offline.read(
                settings,
                lambda journal, context: gaps(
                    context.rehearse(journal.state, [acceptance(journal.state, own.day)]),
                    everything=own.all,
                    dry_run=True,
                ),
            )

        def make(journal: Journal, context: QueryContext) -> EntriesAndAnswer:
            return [acceptance(journal.state, own.day)], lambda after: gaps(after, everything=own.all)

        return decide(settings, {"command": "gaps", "accept": own.day, "all": own.all}, make)

    if own.accept is not None and own.day is None:
        raise Refusal(BAD_USAGE, ["tracker gaps accept: name the day, as in 2025-11-18"])
    if own.dry_run and own.accept is None:
        raise Refusal(
            BAD_USAGE, ["tracker gaps: --dry-run goes with `accept DAY`; leave it out to list the gaps"]
        )
    return answer(arguments, ask, lambda words, answer: words.gaps(answer))


def _declare_gaps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("accept", nargs="?", choices=["accept"], help="close a gap by hand")
    parser.add_argument("day", nargs="?", metavar="DAY", help="the day to accept, as in 2025-11-18")
    parser.add_argument("--all", action="store_true", help="list the closed ones too")
    _declare_dry_run(parser)


COMMANDS: Final[Mapping[str, Command]] = {
    "assign": Command("assign a fill, order or part to an alert", _assign, _declare_assign, reads=True),
    "dismiss": Command("take a fill and its order out of the inbox", _dismiss, _declare_fill, reads=True),
    "undo": Command("take back a decision", _undo, _declare_undo, reads=True),
    "gaps": Command(
        "list the days on which fills may be missing, or accept one", _gaps, _declare_gaps, reads=True
    ),
}
