"""What one simulated life is like: drawn from the seed, so that each seed is harsh in its own way."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from random import Random
from typing import Final

CLIENT: Final = 0
"""The tracker's own client id."""
OTHER_CLIENTS: Final = (7, 11)


@dataclass(frozen=True, slots=True)
class Options:
    """Hold the size of the world and the rate of each fault; a rate of 0 means that fault never happens."""

    steps: int
    alerters: int
    symbols: int
    accounts: int
    watched: int
    """Watched accounts; 0 watches all."""
    policy: str
    file_store: bool
    fractional: bool
    shorts: bool
    order_refs: float
    combos: float
    five_segments: bool
    no_perm_ids: float
    """Orders that never get a permId."""
    reused_order_ids: bool
    late_perm_ids: float
    time_form: str
    strange_times: float
    """Executions whose time zone nobody knows."""
    garbled: float
    """Live executions that cannot be decoded at all."""
    corrections: float
    corrections_only_latest: bool
    """Whether a sweep leaves out the versions that a correction replaced."""
    late_fees: float
    no_fees: float
    duplicates: float
    delays: float
    shuffles: float
    drops: float
    silences: float
    storms: float
    lost_in_storm: float
    missing_ends: float
    silent_foreign: float
    """Live executions of other clients that are never pushed."""
    late_positions: float
    crashes: float
    kills: float
    neighbour: float
    stale: float
    cut: float
    meddling: float
    """Chance that the neighbour writes between two steps of one write of ours."""
    idle: float
    """Chance of a long pause."""
    odd_contracts: bool
    """Whether SPXW, AM-settled options, a ticker of two parts and a login in Asia are met."""
    second_alerters: float
    """Records of another alerter for what was traded just now."""
    respellings: float
    """Records, keys and references in another spelling."""
    conids: float
    """Conids that are added, corrected or taken away in a record that stands."""
    odd_creations: float
    """Records whose created_at is coarse, missing, earlier or written with a zone."""
    persons: float
    """Acts of a person."""
    absent: float
    """Chance that the stores stay away for long."""
    absent_at_start: bool
    refused: float
    """Live executions on which the core itself fails."""
    days_off: float
    """Restarts on another day."""

    def describe(self) -> str:
        """Return one line with what is on."""
        return " ".join(
            f"{field.name}={value}" for field in fields(self) if (value := getattr(self, field.name))
        )


def draw(rng: Random) -> Options:
    """Draw a life; half of the faults are off in each."""
    maybe = partial(_maybe, rng)
    accounts = rng.choice((1, 1, 1, 2, 3))
    reused_order_ids = rng.random() < 0.3
    # Without a permId an order is known by its orderId alone, so that must not be used twice.
    no_perm_ids = 0.0 if reused_order_ids else maybe(0.2, 0.2)
    return Options(
        steps=rng.choice((40, 80, 120, 200)),
        alerters=rng.randint(1, 4),
        symbols=rng.randint(1, 3),
        accounts=accounts,
        watched=rng.choice((0, 0, 0, rng.randint(1, accounts))),
        policy=rng.choice(("mark", "mark", "mark", "keep", "remove")),
        file_store=rng.random() < 0.3,
        fractional=rng.random() < 0.2,
        shorts=rng.random() < 0.5,
        order_refs=maybe(0.5),
        combos=maybe(0.3, 0.4),
        five_segments=rng.random() < 0.5,
        no_perm_ids=no_perm_ids,
        reused_order_ids=reused_order_ids,
        late_perm_ids=maybe(0.8),
        time_form=rng.choice(("zone", "utc_dash", "naive")),
        strange_times=maybe(0.2, 0.25),
        garbled=maybe(0.2, 0.3),
        corrections=maybe(0.4),
        corrections_only_latest=rng.random() < 0.5,
        late_fees=maybe(1.0),
        no_fees=maybe(0.5, 0.3),
        duplicates=maybe(0.4),
        delays=maybe(0.4),
        shuffles=maybe(0.7),
        drops=maybe(0.06),
        silences=maybe(0.05, 0.3),
        storms=maybe(0.08),
        lost_in_storm=rng.choice((0.0, 0.5, 1.0)),
        missing_ends=maybe(0.4),
        silent_foreign=maybe(1.0),
        late_positions=maybe(1.0),
        crashes=maybe(0.05, 0.6),
        kills=maybe(0.03),
        neighbour=rng.uniform(0.05, 0.3),
        stale=maybe(0.4),
        cut=maybe(0.3),
        meddling=maybe(0.1),
        idle=maybe(0.05, 0.3),
        odd_contracts=rng.random() < 0.4,
        second_alerters=maybe(0.6),
        respellings=maybe(0.4),
        conids=maybe(0.3),
        odd_creations=maybe(0.4),
        persons=maybe(0.05),
        absent=maybe(0.3, 0.3),
        absent_at_start=rng.random() < 0.1,
        refused=maybe(0.1, 0.2),
        days_off=maybe(0.3, 0.2),
    )


def _maybe(rng: Random, most: float, chance: float = 0.5) -> float:
    """Return a rate of at most so much, or 0."""
    rate = rng.uniform(most / 10, most)
    return round(rate, 3) if rng.random() < chance else 0.0
