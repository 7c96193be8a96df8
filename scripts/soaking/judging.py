"""The result of a soak: how long fills took, what was lost or doubled, and whether it kept its promises.

Pure: it receives what was sent, seen and measured, and returns figures and verdicts. It measures nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, TypedDict

from benchmark.figures import percentile

WARM_UP_SECONDS: Final = 120.0
SHORTEST_SLOPE_SECONDS: Final = 600.0
"""In a shorter time steps of memory cannot be distinguished from a slope."""
SLOPE_MOST: Final = 60.0
"""MiB/h. The bench allows 30 MiB for 100,000 fills of one session; at 50 fills/s those are 54 MiB/h."""
RATIO_MOST: Final = 1.5
FEWEST_FILLS: Final = 1_000
"""The fewest fills of either sixth; a p99 of fewer depends on fewer than ten fills."""
SHORTEST_WINDOW: Final = 2.0


class Sighting(NamedTuple):
    """Hold that the file shows an execution: since `at` by the tracker, and at `read` for certain."""

    ticker: str
    exec_id: str
    at: datetime
    read: datetime


class Neighbour(TypedDict):
    """Hold what the neighbour reported at the end."""

    writes: int
    renames: int
    lost: list[str]
    lost_by_rename: list[str]
    came_back: int
    """How often something of its own was out of sight, and then shown again."""
    unreadable: int


class Sample(NamedTuple):
    """Hold what the tracker's process took at one moment, in seconds since the start and MiB."""

    seconds: float
    memory: float
    files: int | None
    journal: float


@dataclass(slots=True)
class Sent:
    """Hold one execution of the gateway, and since when the file shows it or a later one of its alert."""

    exec_id: str
    ticker: str
    quantity: int
    """Bought above zero, sold below."""
    at: float
    """Seconds since the start."""
    shown: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took; endless where it was never shown."""
        return math.inf if self.shown is None else self.shown - self.at


@dataclass(slots=True)
class Fault:
    """Hold one fault, in seconds since the start."""

    name: str
    began: float
    over: float = math.inf
    """When its effects were undone, and the tracker had recovered and fetched everything."""
    until: float = math.inf
    """When everything sent before was shown too: the end of its window."""


def root(exec_id: str) -> str:
    """Return what all versions of an execution share."""
    return exec_id.rpartition(".")[0]


class Record:
    """Join what was sent with what was seen; times are given as datetimes and kept in seconds."""

    def __init__(self, began: datetime) -> None:
        self._began = began
        self.sent: list[Sent] = []
        self.versions: dict[str, Sent] = {}
        """Root of an execId -> its latest version."""
        self._places: dict[str, int] = {}
        """Root of an execId -> its number among those of its alert."""
        self._counts: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[tuple[int, Sent]]] = defaultdict(deque)

    def seconds(self, moment: datetime) -> float:
        """Return a moment as seconds since the start."""
        return (moment - self._began).total_seconds()

    def take(self, reported: Iterable[tuple[str, str, int, str]]) -> None:
        """Add what the gateway executed: (execId, symbol, signed quantity, time)."""
        for exec_id, ticker, quantity, at in reported:
            sent = Sent(exec_id, ticker, quantity, self.seconds(datetime.fromisoformat(at)))
            self.sent.append(sent)
            corrects = root(exec_id) in self.versions
            self.versions[root(exec_id)] = sent
            if corrects:
                # Nothing need show it: the alert shows its latest execution.
                sent.shown = sent.at
                continue
            self._places[root(exec_id)] = place = self._counts[ticker]
            self._counts[ticker] += 1
            self._waiting[ticker].append((place, sent))

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Add what the file showed, in the order in which it was seen, after what was executed."""
        for sighting in sightings:
            place = self._places.get(root(sighting.exec_id), -1)
            waiting = self._waiting[sighting.ticker]
            while waiting and waiting[0][0] <= place:
                _, sent = waiting.popleft()
                at, read = self.seconds(sighting.at), self.seconds(sighting.read)
                sent.shown = at if at >= sent.at else read

    @property
    def unseen(self) -> int:
        """How many fills the file has not shown yet."""
        return sum(map(len, self._waiting.values()))

    def fills(self) -> list[Sent]:
        """Return what was executed, without corrections."""
        return [sent for sent in self.sent if sent.exec_id.endswith(".01")]


def close_windows(faults: Iterable[Fault], fills: Sequence[Sent]) -> None:
    """Let each fault's window end once all that was sent before it was over is shown."""
    for fault in faults:
        shown = [math.inf if s.shown is None else s.shown for s in fills if fault.began <= s.at <= fault.over]
        fault.until = max([*shown, fault.over, fault.began + SHORTEST_WINDOW])


def apart(fills: Iterable[Sent], faults: Sequence[Fault]) -> list[Sent]:
    """Return the fills that were in progress outside of all faults' windows."""
    return [
        sent
        for sent in fills
        if not any(
            sent.at <= fault.until and (sent.shown is None or sent.shown >= fault.began) for fault in faults
        )
    ]


@dataclass(frozen=True, slots=True)
class Minute:
    """Hold one row: what was sent within a minute, and how long it took in seconds, None without fills."""

    number: int
    fills: int
    p50: float | None
    p99: float | None
    calm_fills: int
    calm_p99: float | None
    """Outside of the faults' windows."""
    memory: float | None
    files: int | None
    journal: float | None
    disk: float | None
    """The longest that one commit and one replaced file took: what any tracker would have waited."""
    faults: tuple[str, ...]


def minutes(
    fills: Sequence[Sent],
    faults: Sequence[Fault],
    samples: Sequence[Sample],
    floor: Sequence[tuple[float, float]] = (),
) -> list[Minute]:
    """Return a row for each minute; of its samples the last counts. `floor` are (moment, length)."""
    by_minute: defaultdict[int, list[Sent]] = defaultdict(list)
    for sent in fills:
        by_minute[int(sent.at // 60)].append(sent)
    rows = []
    for number in range(max(by_minute, default=-1) + 1):
        taken = by_minute[number]
        calm = apart(taken, faults)
        within = [sample for sample in samples if sample.seconds // 60 == number]
        last = within[-1] if within else None
        rows.append(
            Minute(
                number + 1,
                len(taken),
                part(taken, 0.5),
                part(taken, 0.99),
                len(calm),
                part(calm, 0.99),
                last and last.memory,
                last and last.files,
                last and last.journal,
                max((took for at, took in floor if at // 60 == number), default=None),
                tuple(fault.name for fault in faults if fault.began // 60 == number),
            )
        )
    return rows


def part(fills: Sequence[Sent], portion: float) -> float | None:
    """Return the latency below which this part of the fills stayed, None without fills."""
    return percentile([sent.seconds for sent in fills], portion) if fills else None


def slope(samples: Sequence[Sample]) -> float:
    """Return by how much the memory grows in MiB/h: the least squares' line."""
    count = len(samples)
    x = sum(sample.seconds for sample in samples) / count
    y = sum(sample.memory for sample in samples) / count
    spread = sum((sample.seconds - x) ** 2 for sample in samples)
    return sum((sample.seconds - x) * (sample.memory - y) for sample in samples) / spread * 3600


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold whether one promise was kept; None if it was not judged, as in a run that is too short."""

    promise: str
    kept: bool | None
    found: str
    examples: tuple[str, ...] = field(default=())


def _listed(title: str, of: str, wrong: Sequence[str], checked: str) -> Verdict:
    found = f"{len(wrong):,} {of}" if wrong else checked
    return Verdict(title, not wrong, found, tuple(wrong[:5]))


def judge_journal(record: Record, rows: Sequence[Mapping[str, str]]) -> Iterable[Verdict]:
    """Compare what was sent with the rows of `tracker export --all`: each once, the latest version counts."""
    listed = Counter(row["exec_id"] for row in rows)
    sent = {each.exec_id for each in record.sent}
    wrong = [f"{exec_id} is missing" for exec_id in sorted(sent - listed.keys())]
    wrong += [f"{exec_id} was never sent" for exec_id in sorted(listed.keys() - sent)]
    wrong += [f"{exec_id} stands there {times} times" for exec_id, times in listed.items() if times > 1]
    yield _listed(
        "each execution is in the journal once", "wrong", wrong, f"{len(sent):,} sent, {len(rows):,} there"
    )
    counted = {row["exec_id"]: row for row in rows if row["counted"] == "yes"}
    latest = {each.exec_id: each for each in record.versions.values()}
    wrong = [f"{exec_id} is not counted" for exec_id in sorted(latest.keys() - counted.keys())]
    wrong += [
        f"{exec_id} is counted, and should not be" for exec_id in sorted(counted.keys() - latest.keys())
    ]
    quantities = {exec_id: _signed(row) for exec_id, row in counted.items()}
    wrong += [
        f"{exec_id} counts {quantities[exec_id]:g}, sent {each.quantity}"
        for exec_id, each in latest.items()
        if exec_id in quantities and quantities[exec_id] != each.quantity
    ]
    total = sum(each.quantity for each in latest.values())
    checked = f"{len(counted):,} fills, {sum(quantities.values()):,g} contracts held; sent {total:,}"
    yield _listed("each fill is counted once", "wrong", wrong, checked)


def _signed(row: Mapping[str, str]) -> float:
    return float(row["quantity"]) * (1 if row["side"] == "BUY" else -1)


def judge_alerts(record: Record, alerts: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Verdict:
    """Compare each alert with what was sent: the last execution, and the position of them all."""
    shown = {ticker: fields for records in alerts.values() for ticker, fields in records.items()}
    held: Counter[str] = Counter()
    last: dict[str, Sent] = {}
    for first in record.fills():
        latest = record.versions[root(first.exec_id)]
        held[first.ticker] += latest.quantity
        last[first.ticker] = latest
    wrong = []
    for ticker, latest in sorted(last.items()):
        fields = shown.get(ticker, {})
        update, position = fields.get("last_order_update"), fields.get("position")
        exec_id = update.get("exec_id") if isinstance(update, Mapping) else None
        quantity = position.get("quantity") if isinstance(position, Mapping) else None
        if (fields.get("open"), exec_id, quantity) != (True, latest.exec_id, held[ticker]):
            wrong.append(
                f"{ticker} shows open {fields.get('open')}, {exec_id}, {quantity} held;"
                f" sent {latest.exec_id}, {held[ticker]} held"
            )
    return _listed(
        "each alert shows its last execution and its position", "wrong", wrong, f"{len(last)} alerts"
    )


def judge_neighbour(told: Neighbour) -> Iterable[Verdict]:
    """Judge whether all that the neighbour wrote stayed.

    Lost renames are no fault of the tracker: the alert writer renames nothing, and nobody can see a rename
    between the tracker's last check and its own rename.
    """
    rewrites = told["writes"] - told["renames"]
    checked = f"{rewrites:,} rewrites in place, {told['came_back']:,} out of sight for a moment"
    yield _listed("the neighbour lost nothing of its own", "lost", told["lost"], checked)
    lost = told["lost_by_rename"]
    found = f"{len(lost):,} lost of {told['renames']:,} renames"
    title = "the same where it renames a new file over the old one"
    yield Verdict(title, None if lost else True, found, tuple(lost[:5]))


def judge_memory(samples: Sequence[Sample]) -> Verdict:
    """Judge how memory grows after the warm-up."""
    title = f"memory grows by at most {SLOPE_MOST:g} MiB/h"
    warm = [sample for sample in samples if sample.seconds >= WARM_UP_SECONDS]
    lasted = warm[-1].seconds - warm[0].seconds if warm else 0.0
    if lasted < SHORTEST_SLOPE_SECONDS:
        return Verdict(title, None, f"{lasted / 60:.1f} min after the warm-up tell no slope")
    grown = slope(warm)
    ends = f"{warm[0].memory:.1f} to {warm[-1].memory:.1f} MiB in {lasted / 60:.0f} min"
    return Verdict(title, grown <= SLOPE_MOST, f"{grown:+.1f} MiB/h, {ends}")


def judge_latency(fills: Sequence[Sent], faults: Sequence[Fault], seconds: float) -> Verdict:
    """Compare the p99 of the last sixth with that of the first, outside of the faults' windows."""
    title = f"p99 of the last sixth is at most {RATIO_MOST:g} x that of the first"
    first = apart([sent for sent in fills if sent.at < seconds / 6], faults)
    last = apart([sent for sent in fills if sent.at >= seconds * 5 / 6], faults)
    if min(len(first), len(last)) < FEWEST_FILLS:
        return Verdict(title, None, f"{len(first)} and {len(last)} calm fills are too few for a p99")
    before, after = part(first, 0.99), part(last, 0.99)
    assert before is not None, "the first sixth is not empty"
    assert after is not None, "the last sixth is not empty"
    found = f"{after / before:.2f} x: {before * 1e3:.1f} ms, then {after * 1e3:.1f} ms"
    return Verdict(title, after <= RATIO_MOST * before, found)
