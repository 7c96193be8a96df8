"""The tracker's settings that change an outcome, as the oracle is told them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold them; the defaults are those of settings.toml."""

    early_fill: timedelta = timedelta(seconds=120)
    retry_for: timedelta = timedelta(seconds=900)
    policy: Literal["mark", "remove", "keep"] = "mark"
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """alerter name -> other names of the same alerter."""
    weak_age: timedelta = timedelta(days=1)
    accounts: frozenset[str] = frozenset()
    """Watched accounts; empty watches all."""
    lag_asks: int = 3
    """How many lagging position answers in a row until the last one is used as uncertain."""
    second_witness: timedelta = timedelta(minutes=1)
    vanished_witness: timedelta = timedelta(minutes=5)
    looks_are_told: bool = False
    """Whether successors are found only when `LookedAgain` says so, else behind every event."""
