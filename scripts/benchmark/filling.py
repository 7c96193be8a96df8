"""Figures of fills: how many a second, how long one takes, how long a burst takes.

Owns the rows that stream fills. Each repeat starts fresh processes on fresh stores.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from benchmark import streams
from benchmark.beside import alternate_with_floor, asking, beside, come_at_any_moment, single_fills
from benchmark.figures import Figure, interleaved, median_ratio, percentile
from benchmark.floor import Floor
from benchmark.place import Place, write_alerts
from benchmark.processes import AbusiveClients, Gateway, Pages, Process, Tracker, running
from benchmark.streams import Plan
from tests.support.abusive_clients import CLIENTS, KINDS

_SETTLED_SECONDS = 3.5
"""Wait after the start: the tracker requests positions again after 3 s if some are unconfirmed. If none are,
nothing shows that no request follows, so there is no condition to wait for."""
_PAGES = 20


def _stream_once(place: Place, plan: Plan, *, tracked: bool) -> float:
    """Return the seconds from the first byte sent until all fills are in the alert file, or in events."""
    with place.folder() as folder, ExitStack() as stack:
        gateway = Gateway(folder / "gateway.log")
        stack.enter_context(running(gateway))
        client: Process
        if tracked:
            write_alerts(folder, plan.alerts)
            client = Tracker(folder, gateway.port)
        else:
            client = Process("bare", str(gateway.port), log=folder / "bare.log")
        stack.enter_context(running(client))
        client.hear("ready")
        # No answer of the tracker says that it will request nothing more.
        time.sleep(_SETTLED_SECONDS)
        shown = gateway.prepare("stream", plan)
        if isinstance(client, Tracker):
            client.expect(shown)
        began = gateway.send("stream")
        return float(client.hear("done")["done"]) - began


def _both(place: Place, plan: Plan) -> tuple[list[float], list[float]]:
    return interleaved(
        place.sizes.repeats,
        lambda: _stream_once(place, plan, tracked=True),
        lambda: _stream_once(place, plan, tracked=False),
    )


def _rate(place: Place, key: str, fills_per_order: int, target: float, *, hot: bool = False) -> Figure:
    """Measure a stream over the contracts of all alerts, or over that of one, and so with all of its past."""
    fills = place.sizes.fills
    plan = Plan(
        fills // fills_per_order,
        fills_per_order,
        place.sizes.alerts,
        contracts=1 if hot else place.sizes.alerts,
    )
    ours, bare = _both(place, plan)
    made = "1 fill" if fills_per_order == 1 else f"{fills_per_order} fills"
    traded = "one hot contract" if hot else f"{plan.contracts} contracts"
    return Figure(
        key,
        f"fills/s from the wire to durable alerts, {made} per order, {traded}",
        "bare ib_insync, empty handlers",
        "fills/s",
        fills / statistics.median(ours),
        fills / statistics.median(bare),
        median_ratio(bare, ours),
        "x",
        target,
        at_least=True,
        repeats=place.sizes.repeats,
    )


def one_fill_per_order(place: Place) -> Iterator[Figure]:
    """Measure a stream of orders that fill at once, on many contracts and on one."""
    yield _rate(place, "fills_1", 1, 1.2)
    yield _rate(place, "fills_1_hot", 1, 1.2, hot=True)


def many_fills_per_order(place: Place) -> Iterator[Figure]:
    """Measure a stream of orders that fill a hundred times each, on many contracts and on one."""
    yield _rate(place, "fills_100", 100, 8.0)
    yield _rate(place, "fills_100_hot", 100, 8.0, hot=True)


def burst(place: Place) -> Iterator[Figure]:
    """Measure a thousand fills in one packet train."""
    plan = Plan(place.sizes.burst, 1, place.sizes.alerts)
    ours, bare = _both(place, plan)
    yield Figure(
        "burst",
        f"burst of {plan.orders:,} fills until all alerts are right",
        "bare decode of the same train",
        "ms",
        statistics.median(ours) * 1e3,
        statistics.median(bare) * 1e3,
        median_ratio(ours, bare),
        "x",
        1.5,
        repeats=place.sizes.repeats,
    )


@dataclass(slots=True)
class _Latencies:
    """Hold what single fills took, and the floor measured between them, in seconds."""

    ours: list[float]
    floor: list[float]


def _latencies(place: Place, alerts: int) -> _Latencies:
    """Measure single fills one by one, each beside the floor with the same file."""
    found = _Latencies([], [])
    repeats = place.sizes.repeats
    for _ in range(repeats):
        with beside(place, alerts) as (folder, path, gateway, tracker):
            single = single_fills(gateway, tracker, alerts)
            single()
            with closing(Floor(folder, path.read_bytes(), streams.one_frame())) as floor:
                floor.once()
                times = max(place.sizes.latencies // repeats, 5)
                for mine, least in alternate_with_floor(single, floor.once, times):
                    found.ours.append(mine)
                    found.floor.append(least)
    return found


def _beside_floor(
    found: _Latencies, part: float, key: str, name: str, baseline: str, target: float | None
) -> Figure:
    ours, floor = percentile(found.ours, part), percentile(found.floor, part)
    return Figure(
        key, name, baseline, "ms", ours * 1e3, floor * 1e3, ours / floor, "x", target, repeats=len(found.ours)
    )


def latency(place: Place) -> Iterator[Figure]:
    """Measure a single fill, from its packet to the renamed and synced file."""
    found = _latencies(place, place.sizes.alerts)
    words = "latency of a single fill, packet received to file renamed and synced"
    baseline = "floor: one commit and one replaced file"
    for part, name, target in ((0.5, "p50", 2.0), (0.99, "p99", 3.0)):
        yield _beside_floor(found, part, f"latency_{name}", f"{words}, {name}", baseline, target)


def latency_of_large_files(place: Place) -> Iterator[Figure]:
    """Measure the same with 1,000 alerts in the file; with 10,000 for comparison."""
    for alerts, target in ((1_000, 2.0), (10_000, None)):
        name = f"the same with {alerts:,} alerts in the file, p50"
        found = _latencies(place, alerts)
        yield _beside_floor(found, 0.5, f"latency_{alerts}_alerts", name, "floor with that file", target)


def abused(place: Place) -> Iterator[Figure]:
    """Measure single fills beside 50 clients of every abusive kind, and fills in peace on the same tracker.

    The status is asked for with the token throughout; the slowest answer counts.
    """
    answers: tuple[list[float], list[float]] = ([], [])
    quiet, beset = _in_turns(place, AbusiveClients, answers)
    ours, baseline = percentile(beset, 0.99), percentile(quiet, 0.99)
    yield Figure(
        "abused",
        f"latency p99 beside {CLIENTS} clients of each of {len(KINDS)} abusive kinds at the status socket",
        "p99 in peace",
        "ms",
        ours * 1e3,
        baseline * 1e3,
        ours / baseline,
        "x",
        2.0,
        repeats=len(beset),
    )
    slowest, usual = max(answers[1]), max(answers[0])
    yield Figure(
        "abused_status",
        "slowest answer to `status` with the token meanwhile",
        "in peace",
        "s",
        slowest,
        usual,
        slowest,
        "s",
        1.0,
        repeats=len(answers[1]),
    )


def paged(place: Place) -> Iterator[Figure]:
    """Measure single fills beside open pages in browsers, and fills in peace, in turns on one tracker."""
    quiet, seen = _in_turns(place, partial(Pages, count=_PAGES))
    for part, name, target in ((0.5, "p50", 1.2), (0.99, "p99", None)):
        ours, baseline = percentile(seen, part), percentile(quiet, part)
        yield Figure(
            f"paged_{name}",
            f"latency {name} beside {_PAGES} pages open in browsers",
            f"{name} in peace",
            "ms",
            ours * 1e3,
            baseline * 1e3,
            ours / baseline,
            "x",
            target,
            repeats=len(seen),
        )


def _in_turns(
    place: Place, clients: Callable[..., Process], answers: tuple[list[float], list[float]] | None = None
) -> tuple[list[float], list[float]]:
    """Return the seconds of single fills in peace and beside clients, in turns on one tracker.

    `clients` takes the status port and `log`. `answers` gets the seconds of the status, asked for throughout,
    in peace and beside them.
    """
    sizes = place.sizes
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(sizes.repeats):
        with beside(place, sizes.alerts) as (folder, _, gateway, tracker):
            single = single_fills(gateway, tracker, sizes.alerts)
            single()
            for is_beset, took in enumerate(found):
                with ExitStack() as stack:
                    if is_beset:
                        started = clients(tracker.status_port, log=folder / "clients.log")
                        stack.enter_context(running(started))
                    if answers is not None:
                        stack.enter_context(asking(tracker, answers[is_beset]))
                    for _ in range(max(sizes.beset // sizes.repeats, 5)):
                        took.append(single())
                        come_at_any_moment()
    return found


def original(place: Place) -> Iterator[Figure]:
    """Measure the first generation's way: poll once a second, load and dump the whole file, no sync."""
    ours = _latencies(place, place.sizes.alerts).ours
    polled: list[float] = []
    with place.folder() as folder, ExitStack() as stack:
        gateway = Gateway(folder / "gateway.log")
        stack.enter_context(running(gateway))
        path = write_alerts(folder, place.sizes.alerts)
        client = Process("bare", str(gateway.port), "poll", str(path), log=folder / "bare.log")
        stack.enter_context(running(client))
        client.hear("ready")
        for number in range(place.sizes.polls):
            gateway.prepare("single", Plan(1, 1, place.sizes.alerts, first=number))
            # A fill comes at any moment of the poll's second.
            time.sleep(random.uniform(0, 1))
            began = gateway.send("single")
            polled.append(float(client.hear("written")["written"]) - began)
    yield Figure(
        "original",
        "latency against the original's way",
        "poll each second, load and dump the file",
        "ms",
        statistics.median(ours) * 1e3,
        statistics.median(polled) * 1e3,
        median_ratio(polled, ours),
        "x",
        100.0,
        at_least=True,
        repeats=len(polled),
    )
