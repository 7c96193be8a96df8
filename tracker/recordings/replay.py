"""`tracker replay`: run the tracker's own pipeline on a transcript, without a network.

Owns the journal and the copy of the alerts that a replay uses, both in a folder that is removed at its end,
and the clock, which shows the recorded times. The frames go through the tracker's own pump, so the decisions
are those of the tracker. The given alerts are never written.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from tracker.config.settings import Settings
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Arriving
from tracker.core.matching import match_execution
from tracker.gateway.decode import fact_of
from tracker.journal.journal import Journal
from tracker.pipeline.pump import Pump
from tracker.queries.alerts import alerts
from tracker.queries.fills import Selection, fills
from tracker.queries.text import TextTable
from tracker.queries.why import StoreNow, why_alert
from tracker.recordings.link_frames import LinkFrames, client_ids
from tracker.recordings.transcript import Line, Transcript, TranscriptHead
from tracker.status.protocol import SCHEMA
from tracker.stores.alert_file import AlertFile
from tracker.stores.alert_stores import AlertStores
from tracker.stores.alerter_stores import AlerterStores
from tracker.wiring import names_of

Json = dict[str, Any]
_NAMED: Final = 20
"""The most untouched alerts that are named."""


class CannotReplay(Exception):
    """Raised with the reason where a transcript cannot be replayed."""


@dataclass(slots=True)
class RecordedClock:
    """A clock that shows the time of the replayed line."""

    time: datetime

    def __call__(self) -> datetime:
        return self.time


def replay(transcript: Transcript, path: Path, settings: Settings, client_id: int | None = None) -> Json:
    """Return what each alert of the file at `path` would show, and why, as `--json` prints it.

    The connections of one client are replayed: unless one is named, those of the lowest client id, which sees
    most. `gateway.accounts` is ignored, since the accounts of a transcript are replaced. Raises CannotReplay,
    and StoreUnavailable for alerts that cannot be read.
    """
    links = client_ids(transcript.lines)
    if not links:
        raise CannotReplay("no client in it logged in, so there is nothing to replay")
    chosen = min(links.values()) if client_id is None else client_id
    if chosen not in links.values():
        known = ", ".join(map(str, sorted(set(links.values()))))
        raise CannotReplay(f"client {chosen} is not in it; these are: {known}")
    mine = [line for line in transcript.lines if links.get(line.link) == chosen]
    with _workplace(path, settings, RecordedClock(transcript.head.began)) as place:
        run = _ReplayRun(transcript.head, settings, place)
        asyncio.run(run.play(mine))
        place.store.refresh()
        answer = run.answer()
    others = sorted(set(links.values()) - {chosen})
    return {"ok": True, "schema": SCHEMA, "client_id": chosen, "other_clients": others, **answer}


@dataclass(frozen=True, slots=True)
class _Workplace:
    """Hold the files of a replay, which are removed with it."""

    journal: Journal
    store: AlertStores
    worker: ThreadPoolExecutor
    names: AlerterNames
    clock: RecordedClock


@contextmanager
def _workplace(path: Path, settings: Settings, clock: RecordedClock) -> Iterator[_Workplace]:
    """Open a journal and a copy of the alerts in a folder of their own."""
    names, zone, stores = names_of(settings), settings.store_zone(), settings.stores
    with tempfile.TemporaryDirectory(prefix="tracker-replay-") as folder, ExitStack() as stack:
        copy = Path(folder) / "alerts.json"
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            raise CannotReplay(f"{path} cannot be read: {error.strerror or error}") from None
        alerters = AlerterStores(stores.contracts, stores.stocks, zone=zone, names=names, now=clock)
        file = AlertFile(copy, zone=zone, now=clock, enrich=alerters.enrich, names=names)
        store = AlertStores(file, alerters)
        stack.callback(store.close)
        store.refresh()
        journal = Journal(Path(folder) / "journal.db")
        stack.callback(journal.close)
        worker = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="alerts"))
        yield _Workplace(journal, store, worker, names, clock)


class _ReplayRun:
    """Play the lines of one client into the pump."""

    def __init__(self, head: TranscriptHead, settings: Settings, place: _Workplace) -> None:
        self._began, self._zone = head.began, head.zone
        self._patience = timedelta(seconds=settings.gateway.request_timeout)
        self._place, self._clock, self._journal = place, place.clock, place.journal
        self._messages = 0
        early = timedelta(seconds=settings.matching.early_fill)
        self._pump = Pump(
            place.journal,
            place.store,
            partial(fact_of, login_zone=self._zone),
            partial(match_execution, early_fill=early, names=place.names),
            now=self._clock,
            monotonic=lambda: self._clock().timestamp(),
            worker=place.worker,
            policy=ClosingPolicy(settings.closing.policy),
            zone=self._zone,
            retry_for=timedelta(seconds=settings.matching.retry_for),
            names=place.names,
        )

    async def play(self, lines: Sequence[Line]) -> None:
        """Journal and decide packet by packet, as the lines came."""
        links: dict[int, LinkFrames] = {}
        await self._pump.pump()
        for (link, at), packet in groupby(lines, key=lambda line: (line.link, line.at)):
            self._clock.time = self._began + timedelta(seconds=at)
            if link not in links:
                links[link] = LinkFrames(self._journal, self._zone, self._patience, self._clock)
            for line in packet:
                self._messages += 1
                frames: list[Arriving] = list(links[link].frames_of(line))
                if frames:
                    self._pump.append(link, self._clock(), frames)
                    await self._pump.pump()
        await self._pump.pump()

    def answer(self) -> Json:
        """Return what every alert shows now, why, and all fills."""
        names, journal, store = self._place.names, self._journal, self._place.store
        now = StoreNow(store.alerts(), store.shown)
        known = sorted({alert.id.name for alert in now.alerts})
        reasons = [why_alert(journal, name, names, now, self._clock()) for name in known]
        return {
            "messages": self._messages,
            "until": self._clock().isoformat(),
            "alerts": alerts(journal.state, now, names)["alerts"],
            "why": reasons,
            "fills": fills(journal, Selection(), names)["fills"],
        }


def as_text(answer: Mapping[str, Any], transcript: Transcript) -> str:
    """Return the result of a replay as text for people."""
    words = TextTable(transcript.head.zone)
    lines = [f"{answer['messages']} lines of client {answer['client_id']}, until {answer['until']}"]
    if answer["other_clients"]:
        others = ", ".join(map(str, answer["other_clients"]))
        lines.append(f"other clients in it (--client-id N replays one): {others}")
    untouched = []
    for reason in answer["why"]:
        if any(record["fills"] or record["written"] for record in reason["records"]):
            lines += ["", words.why(reason)]
        else:
            untouched.append(reason["alert"])
    if untouched:
        more = f" and {len(untouched) - _NAMED} more" if len(untouched) > _NAMED else ""
        lines += ["", f"no fill belongs to {', '.join(untouched[:_NAMED])}{more}"]
    of_none = [fill for fill in answer["fills"] if not fill["alerts"]]
    if of_none:
        found = {"fills": of_none, "total": len(of_none), "alert": "", "account": "", "since": None}
        lines += ["", "of no alert:", words.fills({**found, "left_out": 0})]
    return "\n".join(lines)
