"""The command line: which commands and flags there are, and what each exit code means.

Owns argparse, the words of usage errors, and what goes to standard output. It never does a command's work:
each is one small function that imports what it needs when called, so that `tracker --help` loads nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    from tracker.settings import Settings

WELL: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
"""Bad usage or settings, or a configured folder that does not exist."""
NOT_REACHABLE: Final = 3
"""No daemon, or no gateway."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C where the command does not handle it itself, as shells count it."""

_SETTING_FLAG: Final = re.compile(r"--([\w-]*\.[\w.-]*)(?:=(.*))?", re.DOTALL)


class Refusal(Exception):
    """End the command with this exit code, saying these lines on standard error."""

    def __init__(self, code: int, lines: Iterable[str]) -> None:
        self.code = code
        self.lines = tuple(lines)
        super().__init__(*self.lines)


class Arguments(NamedTuple):
    """Hold what was given on the command line: the command's own flags, and settings as section.key."""

    own: argparse.Namespace
    flags: Mapping[str, str]


class Command(NamedTuple):
    """Declare a command."""

    summary: str
    run: Callable[[Arguments], int]
    declare: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    reads: bool = False
    """Whether it only answers a question; such a command has --json."""


class _Parser(argparse.ArgumentParser):
    """Parse as argparse does, but refuse in one line."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(BAD_USAGE, [f"{self.prog}: {message}; see {self.prog} --help"])

    def print_help(self, file: object = None) -> None:
        _say(self.format_help().rstrip())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    code = FAILED
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
    except Refusal as refusal:
        code = refusal.code
        for line in refusal.lines:
            print(line, file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code


def _say(text: str) -> None:
    """Write to standard output at once, while a failure can still be told."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader (head, less) has seen enough, which changes nothing for the exit code. What is left in
        # the buffer goes nowhere, or the interpreter would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise Refusal(FAILED, [f"tracker: the answer could not be written: {error.strerror}"]) from None


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0].startswith("-"):
        return _without_command(argv)
    name, *rest = argv
    command = COMMANDS.get(name)
    if command is None:
        raise Refusal(
            BAD_USAGE,
            [f"tracker: no command {name!r}; the nearest known one is {_nearest(name, COMMANDS)!r}"],
        )
    return command.run(_parse(name, command, rest))


def _without_command(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        _say(_overview())
        return WELL
    if argv and argv[0] == "--version":
        _say(f"tracker {_version()}")
        return WELL
    if argv:
        raise Refusal(
            BAD_USAGE,
            [f"tracker: {argv[0]} before a command; flags follow it, as in `tracker status --json`"],
        )
    raise Refusal(BAD_USAGE, [f"tracker: name a command ({', '.join(COMMANDS)}); see tracker --help"])


def _overview() -> str:
    lines = [
        "usage: tracker COMMAND [flags]",
        "",
        "Keep alert stores telling the truth about which alerts have a position.",
        "",
        *(f"  {name:<11}{command.summary}" for name, command in COMMANDS.items()),
        "",
        "Every command takes --help, --settings PATH and any setting as",
        "--section.key VALUE (tracker run --gateway.port 7497); settings.toml lists them.",
        "Exit codes: 0 well, 1 failed, 2 bad usage or settings, 3 daemon or gateway not",
        "reachable, 4 discrepancies found, 5 a store unreadable, locked or full.",
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
        epilog="Any setting can be given as --section.key VALUE; settings.toml lists them all.",
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
        parser.error(f"unknown flag {first}; the nearest known one is {_nearest(first, known)}")
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


def _nearest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    return get_close_matches(word, list(known), n=1, cutoff=0.0)[0]


def _settings(arguments: Arguments) -> Settings:
    """Load the settings, as every command that needs them does."""
    from tracker.settings import SettingsError
    from tracker.sources import load

    try:
        return load(arguments.flags, arguments.own.settings)
    except SettingsError as error:
        raise Refusal(BAD_USAGE, error.lines) from None


def _ask(settings: Settings, request: dict[str, Any], timeout: float = 10.0) -> dict[str, Any]:
    """Ask the daemon; beyond loopback it answers nothing without the token."""
    from tracker.status.client import NotReachable, ask, read_token
    from tracker.status.protocol import is_loopback

    if not is_loopback(settings.status.host):
        request = {**request, "token": read_token(settings.status.token_file)}
    try:
        return ask(settings.status.host, settings.status.port, request, timeout)
    except NotReachable as error:
        raise Refusal(NOT_REACHABLE, [str(error)]) from None


def _print_answer(
    answer: Mapping[str, Any], as_json: bool, in_words: Callable[[Mapping[str, Any]], str]
) -> int:
    """Print what the daemon answered; a refusal goes to standard error unless programs read it."""
    if as_json:
        import json

        _say(json.dumps(answer, indent=2))
    elif answer.get("ok"):
        _say(in_words(answer))
    else:
        error = answer.get("error")
        message = error.get("message") if isinstance(error, dict) else error
        raise Refusal(FAILED, [f"the daemon refused: {message}"])
    return WELL if answer.get("ok") else FAILED


def _run(arguments: Arguments) -> int:
    settings = _settings(arguments)
    from tracker import daemon
    from tracker.settings import SettingsError

    try:
        return daemon.run(settings)
    except SettingsError as error:
        raise Refusal(BAD_USAGE, error.lines) from None


def _status(arguments: Arguments) -> int:
    from tracker.status.summary import summarise

    answer = _ask(_settings(arguments), {"command": "status"})
    return _print_answer(answer, arguments.own.as_json, summarise)


def _demo(arguments: Arguments) -> int:
    given = [f"--{name}" for name in arguments.flags] + ["--settings"] * bool(arguments.own.settings)
    if given:
        raise Refusal(
            BAD_USAGE, [f"tracker demo: {given[0]} does not count here; the demo makes its own settings"]
        )
    from pathlib import Path

    from tracker.demo.play import run

    keep = arguments.own.keep
    return run(as_json=arguments.own.as_json, keep=None if keep is None else Path(keep))


def _declare_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", metavar="DIR", help="keep stores, journal and logs in this empty or new folder"
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command("watch the gateway and keep the alert store true, until told to end", _run),
    "status": Command("say how the running tracker is", _status, reads=True),
    "demo": Command(
        "play a trading morning to a tracker of its own, and check it", _demo, _declare_demo, reads=True
    ),
}
