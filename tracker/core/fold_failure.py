"""Name the contract whose fold failed, so that no other contract waits for it.

Owns only that error; `pipeline.decide` catches it and decides what happens to the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from tracker.core.state_rows import ContractKey

_Fold = TypeVar("_Fold", bound=Callable[..., Any])

_BUGS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""The errors by which a fold fails on unexpected entries; an unreadable journal is not among them."""


class FoldFailed(Exception):
    """Raised where the entries of one contract could not be folded; the cause says why."""

    def __init__(self, key: ContractKey, cause: Exception) -> None:
        super().__init__(f"what is held of {key.text()} could not be counted: {cause!r}")
        self.key = key
        self.cause = cause


def names_contract(folding: _Fold) -> _Fold:
    """Make a method, whose first argument is a contract, raise FoldFailed with that contract."""

    @wraps(folding)
    def named(owner: Any, key: ContractKey, *more: Any) -> Any:
        try:
            return folding(owner, key, *more)
        except _BUGS as error:
            raise FoldFailed(key, error) from error

    return named  # type: ignore[return-value]  # it has the method's signature
