"""`tracker demo`: play a short trading morning to the real tracker, and check what it makes of it.

Owns the order of events, the checks and the exit code. All that it checks, it reads from the files, as any
other program would.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from tracker.clock import now
from tracker.core.model import JsonValue
from tracker.demo.morning import A_TIME, ALERTS, NEWS, AlertName, Morning, Step, morning
from tracker.demo.report import Outcome, Shown, Silence, Verdict, Words, flatten
from tracker.demo.stage import LOOK_SECONDS, Stage, Trouble

_NOTHING_THERE: Final = object()


class Play:
    """Play a morning on a stage, and tell it as it happens."""

    def __init__(self, stage: Stage, story: Morning, outcome: Outcome, words: Words) -> None:
        self._stage = stage
        self._story = story
        self._outcome = outcome
        self._words = words
        self._fills = 0

    async def run(self, moment: str) -> None:
        """Play all of it, or up to the first trouble; what was found is in the outcome."""
        stage, words = self._stage, self._words
        try:
            await stage.open(moment)
            words.line(f"A paper gateway listens on 127.0.0.1:{stage.gateway_port}; the tracker watches it.")
            words.line(f"The stores of {', '.join(alert.title for alert in ALERTS)}")
            words.line(f"are in {stage.folder}")
            words.line()
            for number, step in enumerate(self._story.steps, 1):
                await self._step(step, self._story.steps[:number])
            code = await stage.end_tracker()
            if code:
                self._outcome.problems.append(f"the tracker ended with exit code {code} when told to end")
        except Trouble as trouble:
            self._outcome.problems.append(str(trouble))
            self._outcome.cut_short = True
        self._judge()
        self._outcome.kept |= not self._outcome.ok
        words.summary(self._outcome)

    async def _step(self, step: Step, so_far: tuple[Step, ...]) -> None:
        stage = self._stage
        stage.file.look()
        text, before = stage.file.text, {alert: self._news(alert) for alert in ALERTS}
        at = now()
        milliseconds = None
        if step.acts:
            written = await stage.cue(step.cue)
            if step.alert is not None:
                wanted = self._story.expected(step.alert, so_far)
                shown = await stage.until(
                    partial(self._shows, step.alert, wanted),
                    f"{step.alert} shows: {step.words}",
                    look=LOOK_SECONDS,
                )
                milliseconds = (shown - written) / 1e6
        else:
            await self._asked_again()
        self._fills += step.fills
        await stage.until(self._settled, f"the tracker has counted {self._fills} fills, each once")
        stage.file.look()
        touched = [alert for alert in ALERTS if self._news(alert) != before[alert]]
        if touched != [alert for alert in (step.alert,) if alert] or (
            not touched and stage.file.text != text
        ):
            names = ", ".join(map(str, touched)) or "the file"
            self._outcome.problems.append(
                f"{step.words}: it changed {names}, and should have changed {step.alert or 'nothing'}"
            )
        after = {alert: self._news(alert) for alert in ALERTS}
        event = Shown(
            at,
            step.cue,
            step.words,
            step.why,
            step.alert,
            before[step.alert] if step.alert else {},
            after[step.alert] if step.alert else {},
            milliseconds,
        )
        self._outcome.events.append(event)
        self._words.event(event)

    def _news(self, alert: AlertName) -> dict[str, JsonValue]:
        return flatten(self._stage.file.records.get(alert.alerter, {}).get(alert.ticker, {}), NEWS)

    def _shows(self, alert: AlertName, wanted: Mapping[str, JsonValue]) -> bool:
        self._stage.file.look()
        return not differences(wanted, self._news(alert))

    def _settled(self) -> bool:
        status = self._stage.status()
        return (
            bool(status)
            and status["stats"]["orders_processed"] == self._fills
            and not status["store"]["undelivered"]
        )

    async def _asked_again(self) -> None:
        """Wait until two more sweeps ended: the second began after now."""
        for _ in range(2):
            before = self._stage.status().get("last_polled_at")
            await self._stage.until(partial(self._polled_since, before), "the tracker asks for the day again")

    def _polled_since(self, before: object) -> bool:
        return self._stage.status().get("last_polled_at") not in (None, before)

    def _judge(self) -> None:
        """Compare every store with what it must be at the end."""
        try:
            self._stage.file.look()
        except (OSError, ValueError) as error:
            self._outcome.problems.append(f"alerts.json cannot be read: {error}")
            return
        begun = json.loads(self._story.stores["alerts.json"])
        for alert in ALERTS:
            wanted, shown = self._story.expected(alert), self._news(alert)
            found = [*differences(wanted, shown)]
            if len(wanted) == 1:
                found += [f"{key} is there, expected none" for key in shown if key not in wanted]
            record = self._stage.file.records.get(alert.alerter, {}).get(alert.ticker, {})
            if _others(record) != _others(begun[alert.alerter][alert.ticker]):
                found.append("a key that is not the tracker's changed")
            self._outcome.verdicts.append(Verdict(alert, wanted, shown, tuple(found)))
        if self._stage.file.text != json.dumps(self._stage.file.records, indent=2):
            self._outcome.problems.append("alerts.json is not written as its writer writes it")
        for name, text in self._story.stores.items():
            if name != "alerts.json" and (self._stage.folder / name).read_text("utf-8") != text:
                self._outcome.problems.append(f"{name} changed, and nothing may write it")


def differences(wanted: Mapping[str, JsonValue], shown: Mapping[str, JsonValue]) -> list[str]:
    """Say where a record shows something else than wanted."""
    return [
        f"{key} is {json.dumps(shown[key]) if key in shown else 'not there'}, expected {json.dumps(value)}"
        for key, value in wanted.items()
        if not _fits(value, shown.get(key, _NOTHING_THERE))
    ]


def _fits(wanted: JsonValue, shown: object) -> bool:
    if wanted == A_TIME:
        try:
            return isinstance(shown, str) and datetime.fromisoformat(shown).tzinfo is not None
        except ValueError:
            return False
    # True == 1 in Python, and 10 == 10.0: a reader of the file sees the difference of the first.
    return shown == wanted and isinstance(shown, bool) is isinstance(wanted, bool)


def _others(record: Mapping[str, JsonValue]) -> str:
    """Return what belongs to the alert writer, as text, so that the order of the keys counts."""
    return json.dumps({key: value for key, value in record.items() if key not in NEWS})


def run(
    *,
    as_json: bool = False,
    keep: Path | None = None,
    tell: Callable[[datetime], Morning] = morning,
) -> int:
    """Play the demo; returns 0 if every alert ended as it should, 1 if not, 2 for an unusable folder.

    `keep` names an empty or new folder in which everything stays; else a temporary one is used, which stays
    only after a failure. `tell` makes the story.
    """
    try:
        folder = _folder(keep)
    except OSError as error:
        print(f"tracker demo: --keep {keep}: {error.strerror or error}", file=sys.stderr)
        return 2
    outcome = Outcome(folder, kept=keep is not None)
    try:
        return asyncio.run(_play(outcome, tell, Silence() if as_json else Words()))
    finally:
        if not outcome.kept:
            shutil.rmtree(folder)


async def _play(outcome: Outcome, tell: Callable[[datetime], Morning], words: Words) -> int:
    """Play until the end or a signal; returns the exit code. Ctrl-C raises KeyboardInterrupt, as anywhere."""
    moment = now()
    story = tell(moment)
    ended_by: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    async with Stage(outcome.folder, story.stores) as stage:
        play = asyncio.create_task(Play(stage, story, outcome, words).run(moment.isoformat()))

        def end(number: signal.Signals) -> None:
            ended_by.append(number)
            play.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        try:
            await play
        except asyncio.CancelledError:
            if not ended_by:
                raise
            return 128 + ended_by[0]
    for problem in outcome.failures():
        print(f"tracker demo: {problem}", file=sys.stderr)
    return 0 if outcome.ok else 1


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="tracker-demo-")).resolve()
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise OSError(
            "the folder is not empty; name an empty or new one, since the demo writes stores into it"
        )
    return keep.resolve()
