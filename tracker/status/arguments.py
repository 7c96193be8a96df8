"""Read the arguments of a socket command: one frozen type for each, checked before the command runs.

Owns the limits of what a client may send and the words that refuse a wrong argument. It knows no command:
each command defines a subclass of CommandArguments.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from tracker.core.model import JsonValue
from tracker.status.protocol import Answer, CommandError, Request, quoted
from tracker.terminal import nearest

LONGEST_TEXT: Final = 200
"""The longest argument in characters: an execId has 25, and ALERTER/TICKER rarely 50."""
LONGEST_PATH: Final = 1000
MOST_ROWS: Final = 1000
"""The most rows of one answer, which is also the default of `limit`."""

_ENVELOPE: Final = ("command", "token")
_NAMED: Final = re.compile(r"`\$\.(\w+)|required field `(\w+)`")


class CommandArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hold the arguments of one command; every field is one of the types below, each with a description."""


Text = Annotated[str, Meta(max_length=LONGEST_TEXT, description=f"a text of at most {LONGEST_TEXT} letters")]
FilePath = Annotated[str, Meta(max_length=LONGEST_PATH, description="the path of a file")]
ExecId = Annotated[str, Meta(max_length=LONGEST_TEXT, description="an execId")]
AlertName = Annotated[str, Meta(max_length=LONGEST_TEXT, description="ALERTER/TICKER")]
ExecIdOrAlertName = Annotated[str, Meta(max_length=LONGEST_TEXT, description="an execId or ALERTER/TICKER")]
Number = Annotated[
    Annotated[str, Meta(max_length=LONGEST_TEXT)] | int | float | None, Meta(description="a number or a text")
]
Flag = Annotated[bool, Meta(description="true or false")]
Limit = Annotated[int, Meta(ge=1, le=MOST_ROWS, description=f"a whole number from 1 to {MOST_ROWS}")]
EventNumber = Annotated[int, Meta(ge=0, description="the number of an event, 0 for all that are kept")]

Kind = TypeVar("Kind", bound=CommandArguments)


def read_arguments(kind: type[Kind], request: Request) -> Kind:
    """Return the arguments of a request; raises CommandError, which names the argument and what it may be.

    Texts lose the blanks around them. An argument that is null or empty counts as not given.
    """
    given = dict(_given(kind, request))
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        found = _NAMED.search(str(error))
        if found is None:
            raise
    name = found[1] or found[2]
    allowed = _descriptions(kind)[name]
    if name not in given:
        raise CommandError("bad_request", f"{name} is missing: {allowed}")
    value = given[name]
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise CommandError("bad_request", f"{name} is {len(value)} letters long; it must be {allowed}")
    raise CommandError("bad_request", f"{name} must be {allowed}")


def without_arguments(
    answer: Callable[[Request], Awaitable[Answer]],
) -> Callable[[Request], Awaitable[Answer]]:
    """Return what answers a command that has no arguments, and refuses any as `read_arguments` does."""

    async def checked(request: Request) -> Answer:
        read_arguments(CommandArguments, request)
        return await answer(request)

    return checked


def _given(kind: type[CommandArguments], request: Request) -> Iterator[tuple[str, JsonValue]]:
    """Yield the given arguments; raises CommandError for an unknown argument and for invalid text.

    A misspelt filter must not answer with everything.
    """
    known = kind.__struct_fields__
    for name, value in request.items():
        if name in _ENVELOPE:
            continue
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            near = nearest(name, known, likeness=0.5)
            hint = f" (did you mean {near}?)" if near else ""
            command = request.get("command")
            raise CommandError("bad_request", f"{command} has no argument {quoted(name)}{hint}; {has}")
        stripped = value.strip() if isinstance(value, str) else value
        if isinstance(stripped, str) and not _is_text(stripped):
            raise CommandError(
                "bad_request", f"{name} {quoted(stripped)} holds half a character; write it whole"
            )
        if isinstance(stripped, str) and "\0" in stripped:
            raise CommandError(
                "bad_request", f"{name} {quoted(stripped)} holds a NUL character; leave it out"
            )
        if stripped not in (None, ""):
            yield name, stripped


def _is_text(value: str) -> bool:
    """Return whether a text has no lone surrogate, which JSON can express and UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _descriptions(kind: type[CommandArguments]) -> dict[str, str]:
    """Return what each argument may be, in words."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: _description(hints[name]) for name in kind.__struct_fields__}


def _description(hint: Any) -> str:
    """Return the description of a type, also where None is allowed beside it."""
    for part in (hint, *get_args(hint)):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, Meta) and meta.description:
                return meta.description
    raise TypeError(f"{hint} has no description")
