"""Play the morning step by step, each checked before the next.

Owns the order of events and the checks after each. It stops no process and prints no summary.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from tracker.clock import now
from tracker.core.model import JsonValue
from tracker.demo.checks import differences, judge, tracker_keys
from tracker.demo.morning_script import ALERTS, AlertName, Morning, Step
from tracker.demo.processes import LOOK_SECONDS, DemoProcesses
from tracker.demo.report import RunOutcome, ShownAlert, TextReport


class MorningRun:
    """Play a morning, and report it as it happens."""

    def __init__(
        self, processes: DemoProcesses, story: Morning, outcome: RunOutcome, report: TextReport
    ) -> None:
        self._processes = processes
        self._story = story
        self._outcome = outcome
        self._report = report
        self._fills = 0

    async def run(self) -> None:
        """Play to the end or the first failure; the outcome holds the result."""
        processes = self._processes
        await processes.start_gateway()
        for name, contract in self._story.contracts.items():
            await processes.control({"do": "contract", "name": name, **contract})
        await processes.start_tracker(self._story.stores)
        await processes.wait_until_subscribed()
        self._report.begin(processes.gateway_port, self._outcome, [alert.title for alert in ALERTS])
        for number, step in enumerate(self._story.steps, 1):
            await self._step(step, self._story.steps[:number])

    async def _step(self, step: Step, so_far: tuple[Step, ...]) -> None:
        processes = self._processes
        processes.file.read()
        text, before = processes.file.text, {alert: tracker_keys(processes.file, alert) for alert in ALERTS}
        at = now()
        milliseconds = None
        if step.acts:
            written = time.monotonic_ns()
            for act in step.acts:
                await processes.control(act)
            if step.alert is not None:
                wanted = self._story.expected(step.alert, so_far)
                shown = await processes.until(
                    partial(self._shows, step.alert, wanted),
                    f"{step.alert} shows: {step.words}",
                    look=LOOK_SECONDS,
                )
                milliseconds = (shown - written) / 1e6
        else:
            for _ in range(2):
                # Two sweeps must end: the second one surely began after now.
                await processes.until(processes.next_sweep(), "the tracker asks for the day again")
        self._fills += step.fills
        await processes.until(self._settled, f"the tracker has counted {self._fills} fills, each once")
        processes.file.read()
        touched = [alert for alert in ALERTS if tracker_keys(processes.file, alert) != before[alert]]
        if touched != [alert for alert in (step.alert,) if alert] or (
            not touched and processes.file.text != text
        ):
            names = ", ".join(map(str, touched)) or "the file"
            self._outcome.problems.append(
                f"{step.words}: it changed {names}, and should have changed {step.alert or 'nothing'}"
            )
        after = {alert: tracker_keys(processes.file, alert) for alert in ALERTS}
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
        self._report.event(event)

    def _shows(self, alert: AlertName, wanted: Mapping[str, JsonValue]) -> bool:
        self._processes.file.read()
        return not differences(wanted, tracker_keys(self._processes.file, alert))

    def _settled(self) -> bool:
        status = self._processes.status()
        return (
            bool(status)
            and status["stats"]["orders_processed"] == self._fills
            and not status["store"]["undelivered"]
        )

    def judge(self) -> None:
        """Compare every store with what it must show at the end."""
        wanted = {alert: self._story.expected(alert) for alert in ALERTS}
        judge(self._outcome, self._processes.file, self._story.stores, wanted)
