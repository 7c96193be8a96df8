"""How a command gets its answer, from files or the running tracker, and how that becomes an exit code.

Owns the words and exit codes of a refusal, and who makes a change: the daemon, or this process where no
daemon runs. It knows no command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tracker.console import (
    BAD_USAGE,
    FAILED,
    NOT_REACHABLE,
    WELL,
    Arguments,
    Refusal,
    ask_daemon,
    say,
    say_data,
    settings_of,
)

if TYPE_CHECKING:
    from tracker.cli.offline import Decide
    from tracker.config.settings import Settings
    from tracker.queries.text import TextTable

STORE_FAILED: Final = 5
"""A store is unreadable, locked or full, or an append failed."""

_OTHER_VERSION: Final = (
    "the running tracker may be of another version, or another program listens on status.port;"
    " `tracker why` shows what was done, and after an upgrade start the tracker again"
)


class _DaemonAnswer(dict[str, Any]):
    """Mark an answer of another process, which may lack what this version expects."""


Ask = Callable[["Settings"], dict[str, Any]]
InWords = Callable[["TextTable", Mapping[str, Any]], str]


def answer(
    arguments: Arguments,
    ask: Ask,
    in_words: InWords,
    code: Callable[[Mapping[str, Any]], int] = lambda answer: WELL,
) -> int:
    """Print an answer; a refusal goes to standard error unless programs read it.

    `code` is the exit code of an answer that is not a refusal.
    """
    settings = settings_of(arguments)
    from tracker.queries.text import TextTable
    from tracker.status.protocol import SCHEMA

    refusal, found = None, {}
    try:
        found = ask(settings)
        answer = {"ok": True, "schema": SCHEMA, **found}
    except Exception as error:
        # Any other exception is a bug of ours and is raised unchanged.
        refusal = _refusal_of(error)
        if refusal is None:
            raise
        answer = {"ok": False, "schema": SCHEMA, "error": {"code": refusal[1], "message": _words(error)}}
    if arguments.own.as_json:
        import json

        say_data(json.dumps(answer, indent=2))
    elif refusal is None:
        try:
            text = in_words(TextTable(settings.login_zone()), answer)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if not isinstance(found, _DaemonAnswer):
                raise
            cause = f"the answer cannot be shown ({type(error).__name__}: {error})"
            raise Refusal(FAILED, [f"{cause}: {_OTHER_VERSION}"]) from error
        if text:
            say(text)
    else:
        raise Refusal(refusal[0], [str(answer["error"]["message"])])
    return refusal[0] if refusal is not None else code(answer)


def _words(error: Exception) -> str:
    """Return an error's message; no command waits for a store that cannot be used now."""
    from tracker.core.model import StoreUnavailable

    again = "; run this again once that is settled" if isinstance(error, StoreUnavailable) else ""
    return f"{error}{again}"


def _refusal_of(error: Exception) -> tuple[int, str] | None:
    """Return the exit code and the word for an error that a user can meet; None for a bug."""
    from tracker.core.model import StoreUnavailable
    from tracker.core.ports import StoreRefused
    from tracker.journal.journal import JournalFailed
    from tracker.pipeline.store_watch import StoreFull
    from tracker.status.protocol import CommandError
    from tracker.stores.lock import Locked

    match error:
        case CommandError(code="bad_request"):
            return BAD_USAGE, error.code
        case CommandError():
            return FAILED, error.code
        case Locked():
            return STORE_FAILED, "locked"
        case JournalFailed():
            return STORE_FAILED, "journal_failed"
        case StoreUnavailable() | StoreRefused() | StoreFull():
            return STORE_FAILED, "store_away"
    return None


def decide(settings: Settings, request: dict[str, Any], wanted: Decide) -> dict[str, Any]:
    """Have the daemon decide, or decide here where none runs; raises Refusal and what `offline` raises."""

    def standalone() -> dict[str, Any]:
        from tracker.cli import offline

        return offline.decide(settings, wanted, request["command"])

    return through_daemon(settings, request, standalone)


def through_daemon(
    settings: Settings,
    request: dict[str, Any],
    standalone: Callable[[], dict[str, Any]],
    timeout: float = 10.0,
) -> dict[str, Any]:
    """Have the daemon do it, or do it here where none runs; raises Refusal and what `standalone` raises."""
    from tracker.status.protocol import CommandError
    from tracker.status.token import read_token
    from tracker.stores.lock import Locked

    token = read_token(settings.status.token_file)
    try:
        answer = ask_daemon(settings, {**request, "token": token}, timeout)
    except Refusal as unreachable:
        if unreachable.code != NOT_REACHABLE:
            raise
        try:
            return standalone()
        except Locked as locked:
            raise Locked(
                f"{locked}; it cannot be asked over its status socket: {'; '.join(unreachable.lines)}"
            ) from None
    if answer.get("ok"):
        return _DaemonAnswer(answer)
    error = answer.get("error")
    if not isinstance(error, dict):
        raise Refusal(FAILED, [f"the tracker refused: {error}"])
    if token is None:
        file = settings.status.token_file
        trouble = "cannot be read; run this command as the tracker's user"
        with suppress(PermissionError):
            if not file.exists():
                trouble = (
                    "is not there; the tracker writes it again within seconds, so run this command again,"
                    " with the settings that the tracker runs with"
                )
        raise CommandError("token_required", f"the token of the running tracker in {file} {trouble}")
    raise CommandError(str(error.get("code")), str(error.get("message")))
