"""Play the morning step by step, each checked before the next.

Owns the order of events and what is checked after each. It ends nothing and says nothing of how it all ended.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from tracker.clock import now
from tracker.core.model import JsonValue
from tracker.demo.checks import differences, judge, news
from tracker.demo.morning_script import ALERTS, AlertName, Morning, Step
from tracker.demo.processes import LOOK_SECONDS, DemoProcesses
from tracker.demo.report import ReportText, RunOutcome, ShownAlert


class MorningPlay:
    """Play a morning on a stage, and tell it as it happens."""

    def __init__(self, stage: DemoProcesses, story: Morning, outcome: RunOutcome, words: ReportText) -> None:
        self._stage = stage
        self._story = story
        self._outcome = outcome
        self._words = words
        self._fills = 0

    async def run(self) -> None:
        """Play all of it, to the end or the first trouble; what was found is in the outcome."""
        stage = self._stage
        await stage.open_gateway()
        for name, contract in self._story.contracts.items():
            await stage.control({"do": "contract", "name": name, **contract})
        await stage.open_tracker(self._story.stores)
        await stage.watched()
        self._words.begin(stage.gateway_port, stage.folder, [alert.title for alert in ALERTS])
        for number, step in enumerate(self._story.steps, 1):
            await self._step(step, self._story.steps[:number])

    async def _step(self, step: Step, so_far: tuple[Step, ...]) -> None:
        stage = self._stage
        stage.file.look()
        text, before = stage.file.text, {alert: news(stage.file, alert) for alert in ALERTS}
        at = now()
        milliseconds = None
        if step.acts:
            written = time.monotonic_ns()
            for act in step.acts:
                await stage.control(act)
            if step.alert is not None:
                wanted = self._story.expected(step.alert, so_far)
                shown = await stage.until(
                    partial(self._shows, step.alert, wanted),
                    f"{step.alert} shows: {step.words}",
                    look=LOOK_SECONDS,
                )
                milliseconds = (shown - written) / 1e6
        else:
            for _ in range(2):
                # The second began after now.
                await stage.until(stage.swept(), "the tracker asks for the day again")
        self._fills += step.fills
        await stage.until(self._settled, f"the tracker has counted {self._fills} fills, each once")
        stage.file.look()
        touched = [alert for alert in ALERTS if news(stage.file, alert) != before[alert]]
        if touched != [alert for alert in (step.alert,) if alert] or (
            not touched and stage.file.text != text
        ):
            names = ", ".join(map(str, touched)) or "the file"
            self._outcome.problems.append(
                f"{step.words}: it changed {names}, and should have changed {step.alert or 'nothing'}"
            )
        after = {alert: news(stage.file, alert) for alert in ALERTS}
        event = ShownAlert(
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

    def _shows(self, alert: AlertName, wanted: Mapping[str, JsonValue]) -> bool:
        self._stage.file.look()
        return not differences(wanted, news(self._stage.file, alert))

    def _settled(self) -> bool:
        status = self._stage.status()
        return (
            bool(status)
            and status["stats"]["orders_processed"] == self._fills
            and not status["store"]["undelivered"]
        )

    def judge(self) -> None:
        """Compare every store with what it must be at the end."""
        wanted = {alert: self._story.expected(alert) for alert in ALERTS}
        judge(self._outcome, self._stage.file, self._story.stores, wanted)
