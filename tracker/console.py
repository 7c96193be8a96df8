"""What every command shares: exit codes, refusals, settings, asking the daemon, and writing the answer.

Owns the way a command talks to its user. It loads nothing heavy until it is called, and knows no command.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracker.terminal import printable, printable_lines

if TYPE_CHECKING:
    from tracker.config.settings import Settings

WELL: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
"""Wrong usage or settings, or a configured folder that does not exist."""
NOT_REACHABLE: Final = 3
"""The daemon or the gateway cannot be reached."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C where the command does not handle it itself, as shells count it."""


_REFUSED: Final = {BAD_USAGE: "bad_request", NOT_REACHABLE: "not_reachable"}
"""Exit code -> `code` in a refusal as JSON."""


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
    """Whether the command only answers a question and therefore has --json."""
    epilog: str = "Any setting can be given as --section.key VALUE; settings.toml lists them all."
    """The last line of the command's help."""


def say(text: str, styles: Collection[str] = ()) -> None:
    """Write text for people to standard output, without control characters that a terminal would obey.

    `styles` are the caller's own colours, which the terminal may obey.
    """
    pattern = "|".join(map(re.escape, styles))
    pieces = re.split(f"({pattern})", text) if styles else [text]
    _write("".join(piece if piece in styles else printable_lines(piece) for piece in pieces))


def say_data(text: str) -> None:
    """Write data for programs to standard output as it is; a terminal gets what people get."""
    _write(printable_lines(text) if sys.stdout.isatty() else text)


def complain(line: str) -> None:
    """Write a line to standard error."""
    print(printable(line), file=sys.stderr)


def _write(text: str) -> None:
    """Write and flush at once, while a failure can still be reported."""
    try:
        print(text, flush=True)
    except OSError as error:
        if not _is_unread(error):
            raise Refusal(FAILED, [f"tracker: the answer could not be written: {error.strerror}"]) from None
        # The reader (head, less) has seen enough, or the terminal was closed. That changes neither what the
        # command still has to do nor its exit code. The rest of the buffer is discarded; otherwise the
        # interpreter would report the same error again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_unread(error: OSError) -> bool:
    """Return whether standard output failed because nobody reads it.

    EIO counts only for a terminal: for a file it is a fault of the disk.
    """
    if error.errno == errno.EIO:
        return stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
    return isinstance(error, BrokenPipeError)


def print_refusal(refusal: Refusal) -> int:
    """Print a refusal as programs read it, and return its exit code."""
    import json

    from tracker.status.protocol import SCHEMA

    error = {"code": _REFUSED.get(refusal.code, "failed"), "message": "\n".join(refusal.lines)}
    say_data(json.dumps({"ok": False, "schema": SCHEMA, "error": error}, indent=2))
    return refusal.code


def settings_of(arguments: Arguments) -> Settings:
    """Load the settings, as every command that needs them does."""
    from tracker.config.loader import load
    from tracker.config.settings import SettingsError

    try:
        return load(arguments.flags, arguments.own.settings)
    except SettingsError as error:
        raise Refusal(BAD_USAGE, error.lines) from None


def ask_daemon(settings: Settings, request: dict[str, Any], timeout: float = 10.0) -> dict[str, Any]:
    """Ask the daemon, with the token if this user can read it: the daemon answers clients with the token
    first.

    On an address beyond loopback the daemon answers nothing without the token.
    """
    from tracker.status.client import NotReachable, ask
    from tracker.status.token import read_token

    token = read_token(settings.status.token_file)
    if token is not None:
        request = {**request, "token": token}
    try:
        return ask(settings.status.host, settings.status.port, request, timeout)
    except NotReachable as error:
        raise Refusal(NOT_REACHABLE, [str(error)]) from None


def print_answer(
    answer: Mapping[str, Any], as_json: bool, in_words: Callable[[Mapping[str, Any]], str]
) -> int:
    """Print what the daemon answered; a refusal goes to standard error unless programs read it."""
    if as_json:
        import json

        say_data(json.dumps(answer, indent=2))
    elif answer.get("ok"):
        say(in_words(answer))
    else:
        error = answer.get("error")
        message = error.get("message") if isinstance(error, dict) else error
        raise Refusal(FAILED, [f"the tracker refused: {message}"])
    return WELL if answer.get("ok") else FAILED
