"""Roll back what a failed decision changed in the ledger's memory.

Owns the copy of everything that the ledger and its parts keep between frames, except the journal's rows,
which the journal rolls back itself. It knows no field by name, so a new field of the core is covered too.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import lru_cache
from typing import Any, Final

_PARTS_ARE_OF: Final = "tracker.core."


class LedgerMemory:
    """Keep a copy of one ledger's memory; `rows` is its journal state, which is not copied."""

    def __init__(self, ledger: object, rows: object) -> None:
        self._parts = _parts_of(ledger, rows)
        self._kept: list[dict[str, Any]] = []
        self.keep()

    def keep(self) -> None:
        """Copy the memory as it is now."""
        self._kept = [_copies(vars(part)) for part in self._parts]

    def put_back(self) -> None:
        """Restore the memory from the last copy."""
        for part, kept in zip(self._parts, self._kept, strict=True):
            vars(part).update(_copies(kept))


def _parts_of(ledger: object, rows: object) -> list[object]:
    """Return the ledger and every object of the core that it is made of."""
    parts = [ledger]
    for part in parts:
        for value in vars(part).values():
            ours = type(value).__module__.startswith(_PARTS_ARE_OF) and hasattr(value, "__dict__")
            if ours and value is not rows and not any(value is each for each in parts):
                parts.append(value)
    return parts


def _copies(values: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: _copied(each) if _may_change(type(each)) else each  # type: ignore[arg-type]  # as below
        for key, each in values.items()
    }


def _copied(value: Any) -> Any:
    """Copy a value that can change; rows, texts and numbers never do."""
    if not _may_change(type(value)):  # type: ignore[arg-type]  # every class can be hashed
        return value
    if isinstance(value, dict):
        # A mapping of another kind (a defaultdict) keeps its kind.
        twin = value.copy()
        # Every step copies all of them; most are empty, and few large ones hold values that can change.
        if value and any(map(_may_change, {*map(type, value.values())})):
            twin.update(_copies(value))
        return twin
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, set):
        return set(value)
    if isinstance(value, tuple):
        copies = [_copied(each) for each in value]
        if all(new is old for new, old in zip(copies, value, strict=True)):
            return value
        return type(value)._make(copies) if hasattr(value, "_make") else tuple(copies)
    return _copied_fields(value)


def _copied_fields(value: Any) -> Any:
    twin = copy.copy(value)
    for field in dataclasses.fields(value):
        object.__setattr__(twin, field.name, _copied(getattr(value, field.name)))
    return twin


@lru_cache
def _may_change(kind: type) -> bool:
    return issubclass(kind, dict | list | set | tuple) or dataclasses.is_dataclass(kind)
