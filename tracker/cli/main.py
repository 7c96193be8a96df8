"""The command line: which commands and flags there are, and what each exit code means.

Owns argparse and the text of usage errors. It never does a command's work: `tracker.cli.commands` lists the
commands and imports what a command needs when it is called, so that `tracker --help` imports nothing heavy.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from tracker.cli.commands import COMMANDS
from tracker.console import (
    BAD_USAGE,
    FAILED,
    INTERRUPTED,
    WELL,
    Arguments,
    Command,
    Refusal,
    complain,
    print_refusal,
    say,
)
from tracker.terminal import nearest

__all__ = ["COMMANDS", "main"]

_SETTING_FLAG: Final = re.compile(r"--([\w-]*\.[\w.-]*)(?:=(.*))?", re.DOTALL)


class _Parser(argparse.ArgumentParser):
    """Parse as argparse does, but refuse in one line."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(BAD_USAGE, [f"{self.prog}: {message}; see {self.prog} --help"])

    def print_help(self, file: object = None) -> None:
        say(self.format_help().rstrip())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    code = FAILED
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
    except Refusal as refusal:
        code = refusal.code
        for line in refusal.lines:
            complain(line)
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0].startswith("-"):
        return _without_command(argv)
    name, *rest = argv
    command = COMMANDS.get(name)
    if command is None:
        raise Refusal(
            BAD_USAGE,
            [f"tracker: there is no command {name!r}; the nearest one is {nearest(name, COMMANDS)!r}"],
        )
    arguments = _parse(name, command, rest)
    try:
        return command.run(arguments)
    except Refusal as refusal:
        if not command.reads or not arguments.own.as_json:
            raise
        return print_refusal(refusal)


def _without_command(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        say(_overview())
        return WELL
    if argv and argv[0] == "--version":
        say(f"tracker {_version()}")
        return WELL
    if argv:
        raise Refusal(
            BAD_USAGE,
            [f"tracker: {argv[0]} stands before the command; write it after, as in `tracker status --json`"],
        )
    raise Refusal(BAD_USAGE, [f"tracker: name a command ({', '.join(COMMANDS)}); see tracker --help"])


def _overview() -> str:
    lines = [
        "usage: tracker COMMAND [flags]",
        "",
        "Mark in alerts.json which alerts you hold, from your fills at Interactive",
        "Brokers.",
        "",
        *(f"  {name:<11}{command.summary}" for name, command in COMMANDS.items()),
        "",
        "Every command takes --help, --settings PATH and any setting as",
        "--section.key VALUE (tracker run --gateway.port 7497); settings.toml lists them.",
        "Exit codes: 0 success, 1 failure, 2 bad usage or settings, or a folder is",
        "missing, 3 the tracker or the gateway cannot be reached, 4 discrepancies found,",
        "5 a store (the journal is one) is missing, unreadable, locked, full or not",
        "writable.",
    ]
    return "\n".join(lines)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("order-tracker")
    except PackageNotFoundError:
        return "(run from its source, not installed)"


def _parse(name: str, command: Command, argv: Sequence[str]) -> Arguments:
    """Return the arguments of a command; settings are taken out first, since argparse does not know them."""
    parser = _Parser(
        prog=f"tracker {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=command.epilog,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--settings", metavar="PATH", help="the settings file (default: $TRACKER_SETTINGS, ./settings.toml)"
    )
    if command.reads:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="answer as JSON, for programs"
        )
    command.declare(parser)
    flags, others = _take_settings(parser, argv)
    own, unknown = parser.parse_known_args(others)
    if unknown:
        first = unknown[0].partition("=")[0]
        if not first.startswith("-"):
            parser.error(f"unexpected argument {first!r}")
        known = [text for action in parser._actions for text in action.option_strings]
        parser.error(f"unknown flag {first}; the nearest known one is {nearest(first, known)}")
    return Arguments(own, flags)


def _take_settings(parser: _Parser, argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split the arguments into settings (`--section.key VALUE` or `=VALUE`) and the rest."""
    flags: dict[str, str] = {}
    others: list[str] = []
    rest = iter(argv)
    for argument in rest:
        found = _SETTING_FLAG.fullmatch(argument)
        if found is None:
            others.append(argument)
        else:
            name, value = found.groups()
            if value is None:
                value = next(rest, None)
            if value is None or _SETTING_FLAG.fullmatch(value):
                parser.error(f"--{name} needs a value")
            flags[name] = value
    return flags, others
