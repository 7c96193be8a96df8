"""The command about Flex reports: check what a query lacks, or fetch one and import it.

Owns its flags, and how its answer becomes text and an exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracker.cli import reconcile_commands
from tracker.cli.progress_bar import ProgressBar
from tracker.console import BAD_USAGE, WELL, Arguments, Command, Refusal, print_answer
from tracker.progress import Progress

if TYPE_CHECKING:
    from tracker.config.settings import Settings

LACKING: Final = 4
"""Exit code when a report cannot be imported."""
_BAR_SECONDS: Final = 0.2


def _flex(arguments: Arguments) -> int:
    own = arguments.own
    if own.action == "fetch":
        return _fetch(arguments)
    if own.dry_run:
        raise Refusal(BAD_USAGE, ["tracker flex check: it changes nothing; leave --dry-run out"])
    if own.file is None:
        raise Refusal(
            BAD_USAGE, ["tracker flex check: name the report, as in `tracker flex check report.xml`"]
        )
    return _check(Path(own.file), as_json=own.as_json)


def _check(path: Path, *, as_json: bool) -> int:
    from tracker.reconcile.flex_query import check, in_words
    from tracker.status.protocol import SCHEMA

    bar = ProgressBar()
    reading = partial(Progress(bar.show, pause_seconds=_BAR_SECONDS).at, "checking the report", unit="byte")
    try:
        answer = {"ok": True, "schema": SCHEMA, **check(path.absolute(), reading)}
    finally:
        bar.end()
    print_answer(answer, as_json, in_words)
    return WELL if answer["usable"] else LACKING


def _fetch(arguments: Arguments) -> int:
    if arguments.own.file is not None:
        raise Refusal(BAD_USAGE, [f"tracker flex fetch: unexpected argument {arguments.own.file!r}"])

    def ask(settings: Settings) -> dict[str, Any]:
        return reconcile_commands.import_report(settings, _fetched(settings), dry_run=arguments.own.dry_run)

    return reconcile_commands.print_reconciled(arguments, ask)


def _fetched(settings: Settings) -> Path:
    """Fetch the report of the settings' query; returns where it is."""
    import asyncio

    from tracker import wiring
    from tracker.gateway.flex_service import FetchFailed
    from tracker.status.protocol import CommandError

    service, into = wiring.flex_service(settings), wiring.fetched_report(settings)
    if service is None:
        key = "query_id" if settings.flex.token else "token"
        raise CommandError(
            "bad_request",
            f"flex.{key} is empty ({settings.origin('flex', key)}), so nothing is fetched; set flex.token and"
            " flex.query_id, or download the report and import it with `tracker reconcile --flex FILE`",
        )
    try:
        asyncio.run(service.fetch(into))
    except FetchFailed as error:
        raise CommandError("not_fetched", str(error)) from None
    return into.absolute()


def _declare_flex(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=["check", "fetch"],
        help="check: say what a report and its query lack; fetch: have IBKR run the settings' query, and"
        " import its report",
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the report to check, an Activity Flex Query as XML"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with fetch: only say what the import would bring"
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "flex": Command("check or fetch a Flex report", _flex, _declare_flex, reads=True),
}
