"""Complete a command line in bash, zsh and fish: commands, flags, settings, alerts, execIds of today.

Owns the three scripts and what is offered for a word. The scripts ask `tracker complete WORD...` each time,
so they are never out of date; a library that generates scripts in advance could not know settings, alerts or
execIds. It never offers a name that a shell would execute.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tracker.console import Command
from tracker.terminal import nearest

SHELLS: Final[Mapping[str, str]] = {
    "bash": r"""_tracker() {
    mapfile -t COMPREPLY < <(tracker complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _tracker tracker""",
    "zsh": r"""#compdef tracker
_tracker() {
    local -a found
    found=(${(f)"$(tracker complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _tracker tracker""",
    "fish": r"""function __tracker_complete
    tracker complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c tracker -f -a '(__tracker_complete)'""",
}
"""What `tracker completion SHELL` prints, for the shell's own start-up file."""
_SAFE: Final = re.compile(r"[\w./@:+-]+")
"""Texts that every shell reads as a plain word."""
_ALERTS: Final = ("why", "assign", "undo")
_EXECUTIONS: Final = ("why", "assign", "dismiss")

ParserOf = Callable[[str, Command], argparse.ArgumentParser]


def script(shell: str) -> str | None:
    """Return the script for a shell, None for one that is not known."""
    return SHELLS.get(shell)


def candidates(
    words: Sequence[str], commands: Mapping[str, Command], topics: Sequence[str], parser_of: ParserOf
) -> list[str]:
    """Return the possible values of the last word, of which a beginning may be typed already."""
    *before, current = words or [""]
    found = sorted({word for word in _offered(before, current, commands, topics, parser_of) if word})
    return [word for word in found if word.startswith(current) and _SAFE.fullmatch(word)]


def _offered(
    before: Sequence[str],
    current: str,
    commands: Mapping[str, Command],
    topics: Sequence[str],
    parser_of: ParserOf,
) -> Iterator[str]:
    if not before:
        yield from (*commands, "completion", "help", "version")
        return
    name, *rest = before
    if name == "help":
        yield from (*commands, *topics)
    elif name == "completion":
        yield from SHELLS
    elif name in commands and rest and rest[-1].startswith("--"):
        parser = parser_of(name, commands[name])
        yield from _values(rest[-1], rest, parser)
        if not _takes_value(rest[-1], parser):
            yield from _arguments(name, rest, current, commands, parser_of)
    elif name in commands:
        yield from _arguments(name, rest, current, commands, parser_of)


def _arguments(
    name: str, rest: Sequence[str], current: str, commands: Mapping[str, Command], parser_of: ParserOf
) -> Iterator[str]:
    """Yield flags for a word that begins like a flag, else the values that the command takes."""
    if current.startswith("-"):
        from tracker.config.settings import KEYS

        for action in parser_of(name, commands[name])._actions:
            yield from action.option_strings
        yield from (f"--{section}.{key}" for section, keys in KEYS.items() for key in keys)
        return
    if name in _EXECUTIONS:
        yield from _execution_ids(rest)
    if name in _ALERTS:
        yield from _alert_names(rest)


def _takes_value(flag: str, parser: argparse.ArgumentParser) -> bool:
    found = [action for action in parser._actions if flag in action.option_strings]
    return "." in flag or any(action.nargs != 0 for action in found)


def _values(flag: str, rest: Sequence[str], parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the values of a flag that has a list of them."""
    if flag == "--alert":
        yield from _alert_names(rest)
    for action in parser._actions:
        if flag in action.option_strings and action.choices is not None:
            yield from map(str, action.choices)
    section, _, key = flag.removeprefix("--").partition(".")
    if key:
        yield from _setting_values(section, key)


def _setting_values(section: str, key: str) -> Iterator[str]:
    from typing import Literal, get_args, get_origin

    from tracker.config.settings import SECTIONS, key_of

    model = SECTIONS.get(section)
    fields = model.model_fields if model is not None else {}
    for name, field in fields.items():
        if key_of(name, field) == key:
            if field.annotation is bool:
                yield from ("true", "false")
            elif get_origin(field.annotation) is Literal:
                yield from map(str, get_args(field.annotation))


def _settings(rest: Sequence[str]) -> Any:
    from tracker.config.loader import load

    given = [rest[at + 1] for at, word in enumerate(rest[:-1]) if word == "--settings"]
    flags = {
        word[2:]: rest[at + 1]
        for at, word in enumerate(rest[:-1])
        if word.startswith("--stores.") and "=" not in word
    }
    return load(flags, given[-1] if given else None)


def _alert_names(rest: Sequence[str]) -> Iterator[str]:
    """Yield ALERTER/TICKER of each record of the alert store."""
    records = json.loads(_settings(rest).stores.alerts.read_bytes())
    for alerter, alerts in records.items():
        yield from (f"{alerter}/{ticker}" for ticker in alerts)


def _execution_ids(rest: Sequence[str]) -> Iterator[str]:
    """Yield the execIds of today's fills."""
    from tracker.clock import now
    from tracker.queries.fills import Selection, fills
    from tracker.queries.lookup import read_since
    from tracker.queries.socket_commands import ask_journal
    from tracker.wiring import names_of

    settings = _settings(rest)
    if not settings.stores.journal.exists():
        return
    wanted = Selection(read_since("today", now(), settings.login_zone()), "", "")
    answer: Any = ask_journal(
        settings.stores.journal, lambda journal: fills(journal, wanted, names_of(settings), 1000)
    )
    yield from (fill["exec_id"] for fill in answer["fills"])


def hint_of_setting(flag: str) -> str:
    """Return which settings a flag such as --port was likely meant for, empty where there are none."""
    from tracker.config.settings import KEYS

    key = flag.lstrip("-").replace("-", "_")
    homes = [f"--{section}.{key}" for section, keys in KEYS.items() if key in keys]
    return " or ".join(homes)


def unknown_shell(given: str) -> str:
    """Say which shells there are."""
    return f"tracker completion: no script for {given!r}; name one of {', '.join(SHELLS)}" + (
        f" (did you mean {nearest(given, SHELLS)}?)" if given else ""
    )
