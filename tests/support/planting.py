"""Break the tracker on purpose for a while, so that a test can show that it would notice.

Owns the putting in place of what a careless programmer might have written, and its removal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Patch = tuple[Any, str, Callable[[Any], Any]]
"""Owner, name of its attribute, and what takes the attribute's place, given the real one."""


def plant(patches: Sequence[Patch]) -> Callable[[], None]:
    """Put all in place; returns what takes them out again."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, instead in patches:
        setattr(owner, name, instead(getattr(owner, name)))

    def remove() -> None:
        for owner, name, real in reversed(before):
            setattr(owner, name, real)

    return remove


@contextmanager
def planted(patches: Sequence[Patch]) -> Iterator[None]:
    """Run a block with all in place."""
    remove = plant(patches)
    try:
        yield
    finally:
        remove()


def always(value: Any) -> Callable[[Any], Any]:
    """Put a function in its place that returns a value, whatever it is given."""
    return lambda real: lambda *values, **named: value
