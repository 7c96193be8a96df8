"""The commands: one small function for each, and the table that lists them.

Owns which flags a command has and how its answer becomes an exit code. It never does the work itself. The
modules that do are imported inside each function, since every start of `tracker` loads this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracker.cli import (
    adjust_commands,
    decision_commands,
    flex_commands,
    init_command,
    query_commands,
    reconcile_commands,
    recording_commands,
    report_commands,
    store_commands,
)
from tracker.console import (
    BAD_USAGE,
    FAILED,
    WELL,
    Arguments,
    Command,
    Refusal,
    ask_daemon,
    print_answer,
    say,
    settings_of,
)


def _run(arguments: Arguments) -> int:
    settings = settings_of(arguments)
    from tracker.config.settings import SettingsError
    from tracker.daemon import run

    try:
        return run.run(settings)
    except SettingsError as error:
        from tracker.config.loader import find_file

        # Somebody who gives neither a file nor a flag may not know yet how to make a settings file.
        missing = not arguments.flags and find_file(arguments.own.settings) is None
        hint = ["no settings file was found; `tracker init` makes one, and the folders"] if missing else []
        raise Refusal(BAD_USAGE, [*error.lines, *hint]) from None


def _status(arguments: Arguments) -> int:
    from tracker.status.text import summarise

    answer = ask_daemon(settings_of(arguments), {"command": "status"})
    return print_answer(answer, arguments.own.as_json, summarise)


def _watch(arguments: Arguments) -> int:
    settings = settings_of(arguments)
    import sys

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        cause = (
            "tracker watch: this command needs a terminal; without one use `tracker status`, with --json"
            " for programs"
        )
        raise Refusal(BAD_USAGE, [cause])
    try:
        from tracker.watch.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        cause = (
            "tracker watch: the extra `watch` (Textual) is not installed; in the project's folder run"
            " pipx install --force '.[watch]'"
        )
        raise Refusal(FAILED, [cause]) from None
    from tracker.clock import now

    where = settings.status
    return run(where.host, where.port, where.token_file, zone=settings.login_zone(), now=now)


def _demo(arguments: Arguments) -> int:
    given = [f"--{name}" for name in arguments.flags] + ["--settings"] * bool(arguments.own.settings)
    if given:
        cause = (
            f"tracker demo: {given[0]} cannot be used, since the demo makes its own settings; leave it out,"
            " and use --keep, --scenario and --seed instead"
        )
        raise Refusal(BAD_USAGE, [cause])
    from pathlib import Path

    from tracker.demo.command import run

    keep = arguments.own.keep
    return run(
        as_json=arguments.own.as_json,
        keep=None if keep is None else Path(keep),
        scenario=arguments.own.scenario or "",
        seed=arguments.own.seed,
    )


def _declare_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", metavar="DIR", help="keep stores, journal and logs in this empty or new folder"
    )
    parser.add_argument(
        "--scenario", metavar="FILE", help="play this scenario: a file, or the name of an included one"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="for --scenario: the same number gives the same ids (default: 1)",
    )


def _paper(arguments: Arguments) -> int:
    settings = settings_of(arguments)
    import asyncio
    import errno

    from tracker.clock import now
    from tracker.paper.scenario import ScenarioError
    from tracker.paper.service import OptionError, PaperOptions, serve

    given = {
        key: value for key, value in vars(arguments.own).items() if key != "settings" and value is not None
    }
    if arguments.own.replay is not None or arguments.own.speed is not None:
        return recording_commands.play(given, settings.gateway.port)
    options = PaperOptions(**{"port": settings.gateway.port, **given})
    try:
        asyncio.run(serve(options, now=now, tell=say))
    except (OptionError, ScenarioError) as error:
        raise Refusal(BAD_USAGE, [f"tracker paper: {error}"]) from None
    except OSError as error:
        place = f"{options.host} port {options.port}"
        cause = f"cannot listen on {place} ({error.strerror or error}); correct --host and --port"
        if error.errno == errno.EADDRINUSE:
            cause = f"port {options.port} is in use; choose another --port"
        raise Refusal(FAILED, [f"tracker paper: {cause}"]) from None
    return WELL


def _declare_paper(parser: argparse.ArgumentParser) -> None:
    def names(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def flag(name: str, kind: Callable[[str], object], metavar: str, help: str) -> None:
        parser.add_argument(name, type=kind, metavar=metavar, help=help)

    flag("--port", int, "N", "where to listen, 0 for a free one (default: gateway.port of the settings)")
    flag("--host", str, "HOST", "the address to listen on (default: 127.0.0.1)")
    flag("--scenario", str, "FILE", "play this scenario: a file, or the name of an included one")
    flag("--seed", int, "N", "the same number gives the same ids and prices (default: 1)")
    flag("--accounts", names, "A,B", "the accounts of the login (default: DU1234567)")
    flag("--master-client-id", int, "N", "the Master API client id, -1 for none (default: 0)")
    flag("--latency", float, "SECONDS", "how long a limit order waits for its fill (default: 0.05)")
    flag("--partials", int, "N", "in how many pieces a limit order fills (default: 2)")
    flag("--control-port", int, "N", "take commands such as `fill` there, 0 for a free port")
    flag("--alerts", str, "FILE", "an alerts.json whose contracts can be ordered by their conIds")
    flag("--server-version", int, "N", "the newest protocol version to speak, 157 to 178 (default: 178)")
    flag(
        "--replay", str, "FILE", "play this transcript of `tracker record`; only --host and --port go with it"
    )
    flag("--speed", float, "N", "with --replay: how many times as fast as it was recorded (default: 1)")
    flag("--time-form", str, "FORM", "how execution times are written: zone (default), utc_dash or naive")
    flag("--zone", str, "ZONE", "the time zone of the login (default: US/Eastern)")
    for name, meaning in (
        ("--read-only", "behave as with the Read-Only API switched on"),
        ("--rest", "leave limit orders resting until they are told to fill"),
        ("--quiet", "do not print what clients do"),
    ):
        parser.add_argument(name, action="store_true", default=None, help=meaning)


def _doctor(arguments: Arguments) -> int:
    from pathlib import Path

    from tracker.doctor.command import run

    own = arguments.own
    report = None if own.report is None else Path(own.report)
    return run(arguments.flags, own.settings, as_json=own.as_json, offline=own.offline, report=report)


def _declare_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--offline", action="store_true", help="do not connect to the gateway; check the rest of the set-up"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="also write a report to send, without names and secrets"
    )


def _notify(arguments: Arguments) -> int:
    settings = settings_of(arguments)
    import asyncio

    from tracker import wiring
    from tracker.clock import now
    from tracker.config.settings import SettingsError
    from tracker.notify.messages import trial_notification
    from tracker.notify.sender import send_test
    from tracker.status.protocol import SCHEMA

    try:
        services = wiring.open_urls(settings)
    except SettingsError as error:
        raise Refusal(BAD_USAGE, error.lines) from None
    if not services:
        place = settings.origin("notify", "urls")
        raise Refusal(
            BAD_USAGE, [f"tracker notify: notify.urls is empty ({place}); add an Apprise URL to it"]
        )
    results = asyncio.run(send_test(services, trial_notification(now())))

    def in_words(answer: Mapping[str, Any]) -> str:
        return "\n".join(
            f"url {one['url']}: {'sent' if one['sent'] else 'NOT sent: ' + one['reason']}"
            for one in answer["urls"]
        )

    answer = {"ok": True, "schema": SCHEMA, "urls": results}
    print_answer(answer, arguments.own.as_json, in_words)
    return WELL if all(one["sent"] for one in results) else FAILED


COMMANDS: Final[Mapping[str, Command]] = {
    **init_command.COMMANDS,
    "run": Command("receive fills, and mark in alerts.json which alerts you hold", _run),
    "demo": Command(
        "play a made-up morning to a tracker, and check the result",
        _demo,
        _declare_demo,
        reads=True,
        epilog="The demo makes its own settings: --settings and --section.key are refused.",
    ),
    "paper": Command("run a paper gateway for any TWS API client", _paper, _declare_paper),
    "status": Command("show the state of the running tracker", _status, reads=True),
    "doctor": Command(
        "check the set-up, and say how to fix each fault",
        _doctor,
        _declare_doctor,
        reads=True,
    ),
    "notify": Command("send a test message to each of notify.urls", _notify, reads=True),
    "watch": Command("show the running tracker on a screen", _watch),
    **query_commands.COMMANDS,
    **decision_commands.COMMANDS,
    **reconcile_commands.COMMANDS,
    **adjust_commands.COMMANDS,
    **report_commands.COMMANDS,
    **recording_commands.COMMANDS,
    **flex_commands.COMMANDS,
    **store_commands.COMMANDS,
}
