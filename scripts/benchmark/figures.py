"""The result of a measurement, with its baseline and target.

Owns the arithmetic of medians and ratios and the judgement whether a target is met. It measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """Hold one row: ours and the baseline in `unit`, and the value that the target judges."""

    key: str
    title: str
    baseline_title: str
    unit: str
    ours: float
    baseline: float
    value: float
    """The value that is compared with the target, in `measure`."""
    measure: str
    """x for a ratio, else a unit."""
    target: float | None = None
    at_least: bool = False
    """Whether more is better."""
    repeats: int = 0
    more: dict[str, float] = field(default_factory=dict)
    """Further results of the measurement, by name."""

    @property
    def spare(self) -> float:
        """Return by which part of the target the value is better than it; 0 where it is missed."""
        if self.target is None:
            return 0.0
        better = self.value - self.target if self.at_least else self.target - self.value
        return max(better / self.target, 0.0)

    @property
    def missed_by(self) -> float:
        """Return by which part of the target it is missed; 0 where it is met."""
        if self.target is None:
            return 0.0
        short = self.target - self.value if self.at_least else self.value - self.target
        return max(short / self.target, 0.0)


def median_ratio(ours: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the median of ours over the median of the baseline."""
    return statistics.median(ours) / statistics.median(baseline)


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def interleaved(
    repeats: int, ours: Callable[[], float], baseline: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Measure both in turn, each first as often as the other."""
    found: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        sides: Iterable[tuple[list[float], Callable[[], float]]] = ((found[0], ours), (found[1], baseline))
        for values, measure in sides if repeat % 2 else reversed(list(sides)):
            values.append(measure())
    return found
