"""The command `reconcile`: an audit of journal, alerts and broker, after importing a Flex report if one is
given.

Owns its flags, how long it may take, and its exit codes. The daemon does the work where one runs.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.answering import Ask, answer, through_daemon
from tracker.cli.progress_bar import ProgressBar, Watching
from tracker.console import (
    BAD_USAGE,
    NOT_REACHABLE,
    WELL,
    Arguments,
    Command,
    Refusal,
    ask_daemon,
    complain,
)
from tracker.daemon.garbage_collection import collect_rarely
from tracker.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from tracker.config.settings import Settings
    from tracker.queries.text import TextTable

DISCREPANCIES: Final = 4
_RECONCILE_SECONDS: Final = 90.0
"""The longest time in seconds that an audit may take: the broker's answers, then reading the whole
journal.
"""
_HINT_SECONDS: Final = 3.0
"""Seconds after which an audit that still waits for the broker says what it waits for."""
_BAR_SECONDS: Final = 0.2
_BAR_ANSWER_SECONDS: Final = 2.0
_IMPORT_SECONDS: Final = 900.0
"""The longest additional time in seconds for the import of a large report."""


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
    """Import a Flex report, then audit, in the daemon or in this process; raises what `through_daemon`
    raises.
    """

    def standalone() -> dict[str, Any]:
        from tracker.reconcile.standalone import reconcile

        collect_rarely()
        progress = Progress(bar.show, pause_seconds=_BAR_SECONDS)
        return reconcile(settings, apply=apply, report=report, dry_run=dry_run, progress=progress)

    bar = ProgressBar()
    flags = {"apply": apply, "flex": str(report) if report else None, "dry_run": dry_run}
    request = {"command": "reconcile", **{name: value for name, value in flags.items() if value}}
    seconds = _RECONCILE_SECONDS if report is None else _IMPORT_SECONDS

    def say_what_it_waits_for() -> None:
        bar.end()
        complain(_waiting(settings.gateway.request_timeout))

    hint = threading.Timer(_HINT_SECONDS, say_what_it_waits_for)
    hint.daemon = True
    hint.start()
    try:
        with Watching(lambda: _work_of_daemon(settings), bar):
            return through_daemon(settings, request, standalone, seconds)
    finally:
        hint.cancel()


def _work_of_daemon(settings: Settings) -> str:
    """Return how far the running tracker's work is; empty where no tracker runs or it does not say."""
    try:
        answer = ask_daemon(settings, {"command": "status"}, _BAR_ANSWER_SECONDS)
    except Refusal:
        return ""
    setup = answer.get("setup")
    return str(setup.get("work") or "") if isinstance(setup, dict) else ""


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
        "--apply",
        action="store_true",
        help="repair what can be repaired without guessing; without this flag nothing is written",
    )
    parser.add_argument(
        "--flex", metavar="FILE", help="first import a Flex report: an Activity Flex Query as XML"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --flex: only say what the import would bring"
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "reconcile": Command(
        "compare journal, alerts and broker; --apply repairs",
        _reconcile,
        _declare_reconcile,
        reads=True,
    ),
}
