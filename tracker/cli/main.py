"""The command line: which commands and flags there are, and what each exit code means.

Owns argparse and the text of usage errors. It never does a command's work: `tracker.cli.commands` lists the
commands and imports what a command needs when it is called, so that `tracker --help` imports nothing heavy.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
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
    say_data,
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
    _replace_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal in another encoding than UTF-8 shows what it does not have as an escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
    except Refusal as refusal:
        code = refusal.code
        for line in refusal.lines:
            complain(line)
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code


def _replace_closed_streams() -> None:
    """Put the null device where the caller closed a standard stream (`>&-`), so that no other file gets its
    number.
    """
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_WRONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _dispatch(argv: Sequence[str]) -> int:
    _refuse_bytes(argv)
    if not argv or argv[0].startswith("-"):
        return _without_command(argv)
    name, *rest = argv
    command = COMMANDS.get(name)
    if command is None:
        return _about_itself(name, rest)
    arguments = _parse(name, command, rest)
    try:
        _check_working_folder(name)
        return command.run(arguments)
    except Refusal as refusal:
        if not command.reads or not arguments.own.as_json:
            raise
        return print_refusal(refusal)


def _refuse_bytes(argv: Sequence[str]) -> None:
    """Refuse an argument that is not UTF-8, unless it names a file: nothing else has such a name."""
    for text in argv:
        # Python writes a byte that is no UTF-8 as half of a surrogate pair.
        if any("\ud800" <= letter <= "\udfff" for letter in text) and not os.path.lexists(text):
            raise Refusal(BAD_USAGE, [f"tracker: {text!r} is not UTF-8; write it in UTF-8"])


def _check_working_folder(name: str) -> None:
    """Refuse a working directory that was removed, from which every relative path would start."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise Refusal(
            BAD_USAGE, [f"tracker {name}: the working directory is gone; change to another"]
        ) from None


def _about_itself(name: str, rest: Sequence[str]) -> int:
    """Answer what is about the command line itself: help, version, completion."""
    if name == "version":
        say(f"tracker {_version()}")
    elif name == "help":
        return _help(rest)
    elif name == "completion":
        from tracker.cli import completion

        shell = rest[0] if rest else ""
        found = completion.script(shell)
        if found is None:
            raise Refusal(BAD_USAGE, [completion.unknown_shell(shell)])
        say_data(f"{found}\n")
    elif name == "complete":
        _complete(rest)
    else:
        known = [*COMMANDS, "help", "version", "completion"]
        raise Refusal(
            BAD_USAGE, [f"tracker: there is no command {name!r}; the nearest one is {nearest(name, known)!r}"]
        )
    return WELL


def _help(rest: Sequence[str]) -> int:
    from tracker.cli.topics import text_of, topics

    if not rest:
        say(_overview())
        return WELL
    topic = rest[0]
    text = text_of(topic)
    if topic in COMMANDS:
        _parser_of(topic, COMMANDS[topic]).print_help()
        text = f"\n{text}" if text is not None else None
    elif text is None:
        known = [*COMMANDS, *topics()]
        raise Refusal(
            BAD_USAGE,
            [
                f"tracker help: nothing about {topic!r}; the nearest is {nearest(topic, known)!r}; topics are"
                f" the commands and {', '.join(topics())}"
            ],
        )
    if text is not None:
        say(text.rstrip())
    return WELL


def _complete(words: Sequence[str]) -> None:
    """Print the possible values of the last word; on any error print nothing."""
    from tracker.cli.completion import candidates
    from tracker.cli.topics import topics

    # While somebody types, the settings file may be half written and the journal missing. A shell has no
    # place to show the reason.
    with suppress(Exception):
        for word in candidates(words, COMMANDS, list(topics()), _parser_of):
            say(word)


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
            [
                f"tracker: {argv[0]} is written before the command; write it after, as in `tracker status"
                " --json`"
            ],
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
        "tracker help TOPIC prints a page of the documents; tracker version; tracker",
        "completion bash (zsh, fish) prints a script for the shell's start-up file.",
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
    parser = _parser_of(name, command)
    flags, others = _take_settings(parser, argv)
    own, unknown = parser.parse_known_args(others)
    if unknown:
        first = unknown[0].partition("=")[0]
        if not first.startswith("-"):
            parser.error(f"unexpected argument {first!r}")
        from tracker.cli.completion import hint_of_setting

        known = [text for action in parser._actions for text in action.option_strings]
        near = hint_of_setting(first)
        meant = f"did you mean {near}?" if near else f"the nearest known one is {nearest(first, known)}"
        parser.error(f"unknown flag {first}; {meant}")
    return Arguments(own, flags)


def _parser_of(name: str, command: Command) -> _Parser:
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
    return parser


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
