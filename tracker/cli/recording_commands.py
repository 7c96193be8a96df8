"""The commands about recordings: record, replay.

Owns their flags and their exit codes. The work is done in `tracker.recordings`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from tracker.cli.answering import STORE_FAILED
from tracker.console import (
    BAD_USAGE,
    FAILED,
    WELL,
    Arguments,
    Command,
    Refusal,
    print_answer,
    say,
    settings_of,
)
from tracker.terminal import counted


def _record(arguments: Arguments) -> int:
    if arguments.own.finish is not None:
        return _finish(arguments.own)
    settings = settings_of(arguments)
    from pathlib import Path

    from tracker.clock import now
    from tracker.logs import log
    from tracker.recordings.command import RecordOptions, record
    from tracker.recordings.recording import RecordingNotWritten
    from tracker.recordings.redaction import NameLeft
    from tracker.status.protocol import is_loopback

    own, gateway = arguments.own, settings.gateway
    if own.listen == gateway.port and is_loopback(gateway.host):
        cause = f"tracker record: the gateway itself is on port {gateway.port}; listen on another one"
        raise Refusal(BAD_USAGE, [cause])
    if not 0 <= own.listen <= 65535:
        raise Refusal(BAD_USAGE, [f"tracker record: --listen must be 0 to 65535, not {own.listen}"])
    log.configure("WARNING", mask_accounts=settings.log.mask_accounts)
    began = now()
    options = RecordOptions(
        gateway=(gateway.host, gateway.port),
        listen=own.listen,
        path=Path(own.to or f"recording-{began:%Y%m%d-%H%M%S}.jsonl"),
        timezone=gateway.timezone or f"UTC{began.astimezone(settings.login_zone()):%z}",
        made_by=f"tracker {_version()}",
        allow_orders=own.allow_orders,
        hidden=tuple(own.hide),
        accounts=gateway.accounts,
    )
    try:
        record(options, now=now, tell=say)
    except NameLeft as error:
        cause = (
            f"tracker record: {error}; no file was left. This is a fault of the recorder: please report it"
        )
        raise Refusal(FAILED, [cause]) from None
    except RecordingNotWritten as error:
        raise Refusal(FAILED, [f"tracker record: {error}"]) from None
    except OSError as error:
        cause = (
            f"tracker record: cannot listen on port {own.listen} ({error.strerror or error}); choose another"
        )
        raise Refusal(FAILED, [cause]) from None
    return WELL


def _finish(own: argparse.Namespace) -> int:
    """Make a transcript of the file that a killed recorder left behind."""
    from pathlib import Path

    from tracker.recordings.recording import RecordingNotWritten, complete

    if own.to or own.hide or own.allow_orders:
        raise Refusal(BAD_USAGE, ["tracker record: --finish goes with no other option"])
    try:
        count = complete(Path(own.finish))
    except RecordingNotWritten as error:
        raise Refusal(FAILED, [f"tracker record: {error}"]) from None
    say(f"{own.finish}: {counted(count, 'line')}, until the recorder was killed. Read it before you send it")
    return WELL


def _declare_record(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--listen",
        type=int,
        metavar="PORT",
        help="the port where clients connect instead of the gateway's, 0 for a free one",
    )
    what.add_argument(
        "--finish", metavar="FILE", help="make FILE from the FILE.part that a killed recorder left behind"
    )
    parser.add_argument(
        "--to",
        metavar="FILE",
        help="the file to write, which must not exist yet (default: recording-TIME.jsonl)",
    )
    parser.add_argument(
        "--hide", action="append", default=[], metavar="TEXT", help="replace this text too; may be repeated"
    )
    parser.add_argument(
        "--allow-orders",
        action="store_true",
        help="pass orders on too; without it no order reaches the gateway",
    )


def _replay(arguments: Arguments) -> int:
    settings = settings_of(arguments)
    from pathlib import Path

    from tracker.core.model import StoreUnavailable
    from tracker.logs import log
    from tracker.recordings.replay import CannotReplay, as_text, replay
    from tracker.recordings.transcript import TranscriptUnusable, read_transcript

    own = arguments.own
    path = settings.stores.alerts if own.alerts is None else Path(own.alerts)
    log.configure("ERROR", mask_accounts=settings.log.mask_accounts)
    try:
        transcript = read_transcript(Path(own.file))
        answer = replay(transcript, path, settings, own.client_id)
    except (TranscriptUnusable, CannotReplay) as error:
        raise Refusal(FAILED, [f"tracker replay: {error}"]) from None
    except StoreUnavailable as error:
        cause = f"tracker replay: {error}; name the alerts of that day with --alerts FILE"
        raise Refusal(STORE_FAILED, [cause]) from None
    return print_answer(answer, own.as_json, lambda found: as_text(found, transcript))


def _declare_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a transcript of `tracker record`, or a doctor's report")
    parser.add_argument(
        "--alerts", metavar="FILE", help="the alerts as they were; only read (default: stores.alerts)"
    )
    parser.add_argument(
        "--client-id", type=int, metavar="N", help="replay this client's connections (default: the lowest id)"
    )


def play(given: Mapping[str, Any], default_port: int) -> int:
    """Run `tracker paper --replay`; `given` are the flags of the command."""
    import asyncio
    from pathlib import Path

    from tracker.clock import now
    from tracker.recordings.playback import serve_playback
    from tracker.recordings.transcript import TranscriptUnusable

    others = sorted(given.keys() - {"replay", "speed", "host", "port"})
    if others or "replay" not in given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in others) or "--speed without it"
        cause = f"tracker paper: --replay plays what was recorded; {flags} cannot be used"
        raise Refusal(BAD_USAGE, [cause])
    host, port = given.get("host", "127.0.0.1"), given.get("port", default_port)
    speed = given.get("speed", 1.0)
    path = Path(given["replay"])
    try:
        asyncio.run(serve_playback(path, host=host, port=port, speed=speed, now=now, tell=say))
    except (TranscriptUnusable, ValueError) as error:
        raise Refusal(BAD_USAGE, [f"tracker paper: {error}"]) from None
    except OSError as error:
        place = f"{host} port {port} ({error.strerror or error})"
        cause = f"tracker paper: cannot listen on {place}; choose another --port"
        raise Refusal(FAILED, [cause]) from None
    return WELL


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("order-tracker")
    except PackageNotFoundError:
        return "from its source"


COMMANDS: Final[Mapping[str, Command]] = {
    "record": Command(
        "record a gateway, without names",
        _record,
        _declare_record,
    ),
    "replay": Command(
        "replay a recording: what each alert would show, and why",
        _replay,
        _declare_replay,
        reads=True,
    ),
}
