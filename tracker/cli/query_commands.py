"""The commands about fills and alerts: fills, inbox, why, export, test, assign, dismiss.

Owns their flags and how each answer becomes text and an exit code. All but assign and dismiss read the files
themselves, whether a daemon runs or not; those two go through the daemon, else they take both locks.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tracker.console import (
    BAD_USAGE,
    FAILED,
    NOT_REACHABLE,
    WELL,
    Arguments,
    Command,
    Refusal,
    ask_daemon,
    complain,
    say,
    say_data,
    settings_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tracker.cli.offline import Decide
    from tracker.config.settings import Settings
    from tracker.core.journal_entries import Entry
    from tracker.core.state import LedgerState
    from tracker.queries.as_json import Json
    from tracker.queries.decisions import Decision
    from tracker.queries.fills import Selection
    from tracker.queries.text import TextTable

DISCREPANCIES: Final = 4
STORE_FAILED: Final = 5
"""A store unreadable, locked or full, or an append failed."""
_RECONCILE_SECONDS: Final = 90.0
"""The most that an audit takes: the broker's answers, then reading all that is journalled."""
_HINT_SECONDS: Final = 3.0
"""After so long an audit that still waits for the broker says what it waits for."""
_IMPORT_SECONDS: Final = 900.0
"""The most that the import of a large report takes beside it."""
_TRIAL: Final = ("symbol", "side", "quantity", "strike", "right", "expiry", "con_id", "order_ref")

Ask = Callable[["Settings"], dict[str, Any]]
InWords = Callable[["TextTable", Mapping[str, Any]], str]


def answer(
    arguments: Arguments,
    ask: Ask,
    in_words: InWords,
    code: Callable[[Mapping[str, Any]], int] = lambda answer: WELL,
) -> int:
    """Print an answer; a refusal goes to standard error unless programs read it.

    `code` is the exit code of an answer that is no refusal.
    """
    settings = settings_of(arguments)
    from tracker.queries.text import TextTable
    from tracker.status.protocol import SCHEMA

    refusal = None
    try:
        answer = {"ok": True, "schema": SCHEMA, **ask(settings)}
    except Exception as error:
        # What is no refusal is a mistake of ours and goes on as it is.
        refusal = _refusal_of(error)
        if refusal is None:
            raise
        answer = {"ok": False, "schema": SCHEMA, "error": {"code": refusal[1], "message": str(error)}}
    if arguments.own.as_json:
        import json

        say_data(json.dumps(answer, indent=2))
    elif refusal is None:
        if text := in_words(TextTable(settings.login_zone()), answer):
            say(text)
    else:
        raise Refusal(refusal[0], [str(answer["error"]["message"])])
    return refusal[0] if refusal is not None else code(answer)


def _refusal_of(error: Exception) -> tuple[int, str] | None:
    """Return the exit code and the word for an error that a user can meet; None for a bug."""
    from tracker.core.model import StoreUnavailable
    from tracker.core.ports import StoreRefused
    from tracker.journal.journal import JournalFailed
    from tracker.pipeline.store_watch import StoreFull
    from tracker.status.protocol import CommandError
    from tracker.stores.lock import Locked

    match error:
        case CommandError(code="bad_request"):
            return BAD_USAGE, error.code
        case CommandError():
            return FAILED, error.code
        case Locked():
            return STORE_FAILED, "locked"
        case JournalFailed():
            return STORE_FAILED, "journal_failed"
        case StoreUnavailable() | StoreRefused() | StoreFull():
            return STORE_FAILED, "store_away"
    return None


# Reading


def _fills(arguments: Arguments, default: str = "today") -> int:
    def ask(settings: Settings) -> dict[str, Any]:
        from tracker.cli import offline
        from tracker.queries.fills import fills

        wanted = _selection(arguments, settings, "" if arguments.own.alert else default)
        return offline.read(settings, lambda journal, context: fills(journal, wanted, context.names))

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
    parser.add_argument(
        "--all",
        action="store_true",
        help="also list corrected versions, and the line that sums up a combo beside its legs",
    )


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
            settings, lambda journal, context: inbox(journal, since, context.names, list_all=everything)
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
    def flag(name: str, metavar: str, help: str, *, required: bool = False) -> None:
        parser.add_argument(name, metavar=metavar, help=help, required=required)

    flag("--symbol", "TSLA", "the underlying, or the stock itself", required=True)
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


# Deciding


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


def _reconcile(arguments: Arguments) -> int:
    from pathlib import Path

    own = arguments.own
    if own.dry_run and (own.apply or own.flex is None):
        next_step = "leave --apply out" if own.apply else "name it with --flex FILE"
        cause = (
            f"tracker reconcile: --dry-run shows what a report would bring, and repairs nothing; {next_step}"
        )
        raise Refusal(BAD_USAGE, [cause])

    report = None if own.flex is None else Path(own.flex).absolute()
    return print_reconciled(
        arguments,
        lambda settings: import_report(settings, report, apply=own.apply, dry_run=own.dry_run),
    )


def import_report(
    settings: Settings, report: Path | None, *, apply: bool = False, dry_run: bool = False
) -> dict[str, Any]:
    """Audit, and take in a Flex report before, by the daemon or here; raises what `_through_daemon` does."""

    def standalone() -> dict[str, Any]:
        from tracker.reconcile.standalone import reconcile

        return reconcile(settings, apply=apply, report=report, dry_run=dry_run)

    flags = {"apply": apply, "flex": str(report) if report else None, "dry_run": dry_run}
    request = {"command": "reconcile", **{name: value for name, value in flags.items() if value}}
    seconds = _RECONCILE_SECONDS if report is None else _IMPORT_SECONDS
    hint = threading.Timer(_HINT_SECONDS, complain, [_waiting(settings.gateway.request_timeout)])
    hint.daemon = True
    hint.start()
    try:
        return _through_daemon(settings, request, standalone, seconds)
    finally:
        hint.cancel()


def _waiting(request_timeout: float) -> str:
    return (
        "waiting for what the gateway answers about positions, executions and orders; each answer may take"
        f" {request_timeout:g} s (gateway.request_timeout)"
    )


def print_reconciled(arguments: Arguments, ask: Ask) -> int:
    """Print the answer of an audit; returns its exit code."""

    def in_words(words: TextTable, answer: Mapping[str, Any]) -> str:
        from tracker.reconcile.text import reconciled

        return reconciled(answer)

    def code(answer: Mapping[str, Any]) -> int:
        if not answer["broker"]["reached"] and answer["by"] == "itself":
            return NOT_REACHABLE
        return DISCREPANCIES if answer["total"] else WELL

    return answer(arguments, ask, in_words, code)


def _declare_reconcile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--apply", action="store_true", help="repair what needs no guess; without it nothing is written"
    )
    parser.add_argument(
        "--flex", metavar="FILE", help="first import a Flex report: an Activity Flex Query as XML"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --flex: only say what the import would bring"
    )


def decide(settings: Settings, request: dict[str, Any], wanted: Decide) -> dict[str, Any]:
    """Have the daemon decide, or decide here where none runs; raises Refusal and what `offline` raises."""

    def standalone() -> dict[str, Any]:
        from tracker.cli import offline

        return offline.decide(settings, wanted, request["command"])

    return _through_daemon(settings, request, standalone)


def _through_daemon(
    settings: Settings,
    request: dict[str, Any],
    standalone: Callable[[], dict[str, Any]],
    timeout: float = 10.0,
) -> dict[str, Any]:
    """Have the daemon do it, or do it here where none runs; raises Refusal and what `standalone` raises."""
    from tracker.status.protocol import CommandError
    from tracker.status.token import read_token
    from tracker.stores.lock import Locked

    token = read_token(settings.status.token_file)
    try:
        answer = ask_daemon(settings, {**request, "token": token}, timeout)
    except Refusal as unreachable:
        if unreachable.code != NOT_REACHABLE:
            raise
        try:
            return standalone()
        except Locked as locked:
            raise Locked(
                f"{locked}; it cannot be asked over its status socket: {'; '.join(unreachable.lines)}"
            ) from None
    if answer.get("ok"):
        return answer
    error = answer.get("error")
    if not isinstance(error, dict):
        raise Refusal(FAILED, [f"the tracker refused: {error}"])
    if token is None:
        raise CommandError(
            "token_required",
            f"the token of the running tracker in {settings.status.token_file} cannot be read;"
            " run this command as the tracker's user",
        )
    raise CommandError(str(error.get("code")), str(error.get("message")))


COMMANDS: Final[Mapping[str, Command]] = {
    "fills": Command("list fills by time, alert or account", _fills, _declare_fills, reads=True),
    "inbox": Command("list the fills that need a decision from you", _inbox, _declare_inbox, reads=True),
    "why": Command("explain a fill or an alert", _why, _declare_why, reads=True),
    "assign": Command("assign a fill to an alert", _assign, _declare_assign, reads=True),
    "dismiss": Command("take a fill out of the inbox", _dismiss, _declare_fill, reads=True),
    "gaps": Command(
        "list the days on which fills may be missing, or accept one", _gaps, _declare_gaps, reads=True
    ),
    "reconcile": Command(
        "compare journal, alerts and broker; --apply repairs",
        _reconcile,
        _declare_reconcile,
        reads=True,
    ),
    "export": Command("write fills as CSV", _export, _declare_export, reads=True),
    "test": Command("show which alerts a made-up fill would open, and why", _test, _declare_test, reads=True),
}
