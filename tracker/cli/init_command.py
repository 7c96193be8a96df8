"""The command `init`: ask what differs from user to user, make folders and settings file, check the set-up.

Owns the questions and what is created from the answers. It never changes an existing settings file, and
starts no tracker.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracker.console import BAD_USAGE, FAILED, WELL, Arguments, Command, Refusal, complain, say, say_data

if TYPE_CHECKING:
    from tracker.config.new_settings import Given

_ALERTS: Final = "alerts.json"


class Question(NamedTuple):
    """Hold one thing that `init` asks for."""

    flag: str
    setting: tuple[str, str]
    words: str
    default: str
    unset: str = ""
    """What an empty answer means, in words."""

    @property
    def name(self) -> str:
        """Return what programs call it."""
        return self.flag.replace("-", "_")

    @property
    def shown(self) -> str:
        """Return the default in the form in which the question shows it."""
        return self.default or self.unset


QUESTIONS: Final = (
    Question(
        "port",
        ("gateway", "port"),
        "Port of TWS or IB Gateway (Gateway 4001 live, 4002 paper; TWS 7496 live, 7497 paper)",
        "4002",
    ),
    Question(
        "alerts",
        ("stores", "alerts"),
        "Folder in which your alert writer keeps alerts.json",
        "data/alerts",
    ),
    Question(
        "login-zone",
        ("gateway", "timezone"),
        "Time zone of the TWS or Gateway login, as US/Eastern",
        "",
        "this machine's",
    ),
    Question(
        "store-zone",
        ("stores", "timezone"),
        "Time zone in which the alert writer writes times, as US/Eastern or UTC",
        "",
        "this machine's",
    ),
    Question(
        "accounts", ("gateway", "accounts"), "Accounts whose fills count, separated by commas", "", "all"
    ),
)


def _init(arguments: Arguments) -> int:
    own = arguments.own
    if refused := [*(f"--{name}" for name in arguments.flags), *(["--settings"] if own.settings else [])]:
        raise Refusal(
            BAD_USAGE,
            [
                f"tracker init: {refused[0]} cannot be used, since init makes a settings file; leave it out,"
                " and edit that file afterwards"
            ],
        )
    folder = Path(os.path.expanduser(own.folder)).absolute()
    path = folder / "settings.toml"
    if os.path.exists(path):
        raise Refusal(
            BAD_USAGE,
            [
                f"tracker init: {path} is there already; edit it and run `tracker doctor`, or name another"
                " folder"
            ],
        )
    given = _answers(own, folder)
    from tracker.config.new_settings import settings_text

    text = settings_text(given)
    folders = [folder, folder / "data", (folder / str(given["stores", "alerts"])).parent]
    missing = [each for each in dict.fromkeys(folders) if not os.path.isdir(each)]
    answer: dict[str, Any] = {
        "done": not own.dry_run,
        "settings": str(path),
        "folders": [str(each) for each in missing],
        "values": {question.name: given[question.setting] for question in QUESTIONS},
        "doctor": None,
    }
    if not own.dry_run:
        _make(path, text, missing)
        answer["doctor"] = _examined(path)
    return _print(answer, as_json=own.as_json, text=text)


def _answers(own: argparse.Namespace, folder: Path) -> Given:
    """Return the values: from the flags, else from the person at the terminal, else the defaults; raises
    Refusal.
    """
    flags = {question.flag: getattr(own, question.name) for question in QUESTIONS}
    asks = not (own.yes or own.dry_run or own.as_json)
    if asks and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refusal(
            BAD_USAGE,
            [
                "tracker init: this command asks questions and needs a terminal; without one give --yes, and"
                " flags"
            ],
        )
    given: dict[tuple[str, str], Any] = {}
    for question in QUESTIONS:
        typed = flags[question.flag]
        if typed is None:
            typed = _ask(question, folder) if asks else question.default
        try:
            given[question.setting] = _value(question, typed, folder)
        except ValueError as error:
            raise Refusal(BAD_USAGE, [f"tracker init: --{question.flag}: {error}"]) from None
    return given


def _ask(question: Question, folder: Path) -> str:
    """Ask until the answer is valid."""
    while True:
        try:
            typed = input(f"{question.words}\n  [{question.shown}] ").strip() or question.default
        except EOFError:
            raise Refusal(
                FAILED,
                [
                    "tracker init: the input ended before all questions were answered, so"
                    " nothing was made; run it again, or give --yes"
                ],
            ) from None
        try:
            _value(question, typed, folder)
        except ValueError as error:
            complain(f"  {error}")
        else:
            return typed


def _value(question: Question, typed: str, folder: Path) -> str | int | Sequence[str]:
    """Return the value to write into the file; raises ValueError with the cause."""
    from tracker.config.new_settings import check
    from tracker.config.settings import SettingsError

    value: str | int | Sequence[str] = typed
    if question.flag == "port" and typed.isascii() and typed.isdigit():
        value = int(typed)
    elif question.flag == "accounts":
        value = [part.strip() for part in typed.split(",") if part.strip()]
    elif question.flag == "alerts":
        value = _alerts(typed, folder)
    try:
        check({question.setting: value})
    except SettingsError as error:
        # The error's text begins with the name of a flag that nobody typed.
        raise ValueError(error.lines[0].partition(": ")[2]) from None
    return value


def _alerts(typed: str, folder: Path) -> str:
    """Return the path of the alerts, relative where it is in the folder of the settings."""
    path = folder / os.path.expanduser(typed)
    path = path if path.suffix == ".json" else path / _ALERTS
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _make(path: Path, text: str, folders: Sequence[Path]) -> None:
    """Make the folders, then the file; raises Refusal."""
    from tracker.config.new_settings import write_new

    place: Path = path
    try:
        for place in folders:
            place.mkdir(parents=True, exist_ok=True)
        place = path
        write_new(path, text)
    except OSError as error:
        raise Refusal(
            FAILED,
            [f"tracker init: {place} cannot be made: {error.strerror or error}; name another folder"],
        ) from None


def _examined(path: Path) -> dict[str, Any]:
    """Return what doctor finds with the new settings."""
    from tracker.doctor.command import diagnose
    from tracker.doctor.probes import Probes

    found = diagnose({}, str(path), Probes(), offline=False)
    return {key: found[key] for key in ("well", "counts", "offline", "findings")}


def _print(answer: Mapping[str, Any], *, as_json: bool, text: str) -> int:
    if as_json:
        from tracker.status.protocol import SCHEMA

        say_data(json.dumps({"ok": True, "schema": SCHEMA, **answer}, indent=2))
    elif not answer["done"]:
        say(text)
    else:
        from tracker.doctor.command import as_text

        for folder in answer["folders"]:
            say(f"made {folder}")
        say(f"made {answer['settings']}; each setting is explained in it\n")
        say(as_text(answer["doctor"]))
        say(f"\nNext: {_next(answer)}")
    return WELL


def _next(answer: Mapping[str, Any]) -> str:
    folder = Path(answer["settings"]).parent
    inside = "" if folder == Path.cwd() else f"cd {folder} && "
    if answer["doctor"]["well"]:
        return f"{inside}tracker run"
    faults = [each["check"] for each in answer["doctor"]["findings"] if each["level"] == "fault"]
    if faults == ["gateway_port"]:
        return f"start TWS or IB Gateway, or correct its port (the one FAULT above), then {inside}tracker run"
    return f"fix what is marked FAULT, then {inside}tracker run"


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default=".", metavar="FOLDER", help="where to make settings.toml (default: here)"
    )
    for question in QUESTIONS:
        parser.add_argument(
            f"--{question.flag}",
            metavar=question.setting[1].upper(),
            help=f"{question.words[0].lower()}{question.words[1:]} (default: {question.shown})",
        )
    parser.add_argument("--yes", action="store_true", help="ask nothing: take the flags, else the defaults")
    parser.add_argument("--dry-run", action="store_true", help="print the settings file, and make nothing")


COMMANDS: Final[Mapping[str, Command]] = {
    "init": Command(
        "ask some questions, make settings file and folders, check them",
        _init,
        _declare,
        reads=True,
        epilog="It makes a settings file, so --settings and --section.key are refused.",
    ),
}
