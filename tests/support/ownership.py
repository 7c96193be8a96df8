"""Stories about whose an order's lots are: dated records, later matches, persons and their places."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.support.facts import ACCOUNT, ALERT, NVDA, START, Story, alert_fields, exec_id
from tracker.core.ledger import Ledger
from tracker.core.lot_changes import second_of
from tracker.core.model import Alert, AlertId, End, EndOf, Execution, Match, Moment, Source
from tracker.core.ownership import Circumstances
from tracker.core.ownership_rows import OwnershipKind
from tracker.core.state import DECISIONS

OTHER = AlertId("demslayer", "NVDA", "2025-11-18T15:42:30", 700100200)


class DatedStory(Story):
    """A story whose store knows when its records were created, in seconds after START."""

    def __init__(self, *values: Any, **more: Any) -> None:
        self.created: dict[AlertId, float] = {}
        self.strikes: dict[AlertId, Decimal] = {}
        """Of the records that name a strike."""
        self.circumstances: list[Circumstances] = []
        self.owned: list[bool] = []
        """Whether ALERT owned a part of the contract as each was matched."""
        super().__init__(*values, **more)

    def restart(self) -> None:
        def decide(fill: Execution, now: Circumstances) -> Match:
            self.circumstances.append(now)
            self.owned.append(now.owns(ALERT))
            return self.decide(fill)

        self.ledger = Ledger(self.state, decide, policy=self.policy, candidates=self._records)

    def _records(self, fill: Execution) -> list[Alert]:
        return [
            Alert(
                alert,
                False,
                START + timedelta(seconds=at),
                frozenset({alert.option_conid or NVDA.con_id}),
                "NVDA",
                is_option=True,
                strike=self.strikes.get(alert),
                right="C",
            )
            for alert, at in self.created.items()
        ]


def rematch(story: Story, number: int) -> None:
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(number))


def assign(story: Story, number: int, alert: AlertId) -> None:
    story.note(Source.PERSON, "assign", ACCOUNT, exec_id(number), *alert_fields(alert))


def places(story: Story) -> list[tuple[OwnershipKind, Moment]]:
    """Return the decisions in the order in which they were made."""
    rows = sorted(story.state.every(DECISIONS), key=lambda row: (row.seq, row.number))
    return [(row.kind, Moment(second_of(row.place.time), row.place.seq)) for row in rows]


def swept(story: Story, *fills: Execution) -> None:
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(*fills, End(EndOf.EXECUTIONS, 900))
