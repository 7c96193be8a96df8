"""The command about Flex reports: check what a query lacks.

Owns its flags, and how its answer becomes text and an exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tracker.console import BAD_USAGE, WELL, Arguments, Command, Refusal, print_answer

LACKING: Final = 4
"""Exit code where a report cannot be imported."""
_STEP: Final = 0.1
"""The part of a file after which its progress is shown again."""


def _flex(arguments: Arguments) -> int:
    own = arguments.own
    if own.file is None:
        raise Refusal(
            BAD_USAGE, ["tracker flex check: name the report, as in `tracker flex check report.xml`"]
        )
    return _check(Path(own.file), as_json=own.as_json)


def _check(path: Path, *, as_json: bool) -> int:
    from tracker.reconcile.flex_query import check, in_words
    from tracker.status.protocol import SCHEMA

    answer = {"ok": True, "schema": SCHEMA, **check(path.absolute(), shown_progress("checked"))}
    print_answer(answer, as_json, in_words)
    return WELL if answer["usable"] else LACKING


def shown_progress(done_word: str) -> Callable[[int, int], None]:
    """Return what shows on a terminal how much of a file is done; it says nothing anywhere else."""
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        part = done / total if total else 1.0
        if part < shown:
            # The file is read once more.
            shown = 0.0
        if part >= min(shown + _STEP, 1.0) and sys.stderr.isatty():
            shown = part
            sys.stderr.write(f"\r{done_word} {part:.0%} of {total / 1e6:.1f} MB")
            sys.stderr.write("\n" if part >= 1.0 else "")
            sys.stderr.flush()

    return show


def _declare_flex(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["check"], help="check: say what a report and its query lack")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the report, an Activity Flex Query as XML")


COMMANDS: Final[Mapping[str, Command]] = {
    "flex": Command(
        "check a Flex report before it is imported by `reconcile --flex`", _flex, _declare_flex, reads=True
    ),
}
