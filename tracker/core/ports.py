"""The interface that every alert store implements for the daemon.

Owns the protocol of an alert store, and the values of the tracker's own three fields in a record. It never
says how records are stored, and never reads one itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from tracker.core.model import Alert, AlertId, AlertUpdate, Execution, Outcome


class StoreRefused(Exception):
    """Say that the alert store cannot be written with the owner, mode or links that its other users need; do
    not start.
    """


class StoreMisconfigured(StoreRefused):
    """Say that the settings contradict what all users of the store agreed on."""


class Shown(Struct, frozen=True):
    """Hold what a record shows in the tracker's three fields; None where a field is absent or no object."""

    open: bool
    last_order_update: Mapping[str, object] | None = None
    position: Mapping[str, object] | None = None

    def agrees(self, update: AlertUpdate) -> bool:
        """Return whether the record shows what the update asks for.

        A field that the update leaves alone (None) agrees with anything. A removal agrees with no record.
        """
        return (
            not update.remove
            and self.open == update.open
            and _field_agrees(self.last_order_update, update.last_order_update)
            and _field_agrees(self.position, update.position)
        )


def _field_agrees(shown: Mapping[str, object] | None, asked: Mapping[str, object] | None) -> bool:
    return asked is None or (shown is not None and same_json(shown, asked))


def same_json(left: object, right: object) -> bool:
    """Compare two JSON values as a reader would: 4 equals 4.0, true does not equal 1, key order is free."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right


class AlertStore(Protocol):
    """Keep the alerts that another program writes, and the three fields that the tracker writes in them.

    Records are named by identity, never by place. `alerts`, `candidates`, `shown` and `record` read the last
    good state, do no I/O and may be called while another thread is in `refresh` or `apply`.
    """

    @property
    def name(self) -> str:
        """Return what people call the store: a path, or an address without its password."""
        ...

    @property
    def absent(self) -> bool:
        """Whether there was no store at the last `refresh`, nor ever before: it has no alerts yet."""
        ...

    def expect(self) -> None:
        """Treat the store as one that existed before, as a good read does: its absence is an outage."""
        ...

    def refresh(self) -> bool:
        """Read changes of other programs; True when anything changed since the last call.

        Changes that `apply` finds count for the next call. Raises StoreUnavailable when the store cannot be
        read, or existed before and is gone; the last good state is still served then.
        """

    def unchanged(self) -> bool:
        """Return whether what was last read is current; False if that is uncertain, or another thread reads.

        It reads nothing new, raises nothing, and waits for no other thread.
        """

    def alerts(self) -> Sequence[Alert]:
        """Return every alert of the last good state."""

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        """Return the alerts that a fill may belong to, near misses included, without visiting all others.

        These are the alerts of its con_id, those of its symbol, and the one that its order_ref names.
        """

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        """Write all updates durably and at once; one outcome for each, in order.

        An update changes exactly the record of its identity; it never creates one. Raises StoreUnavailable
        when that is not possible now; the same updates may be given again.
        """

    @property
    def prepares(self) -> bool:
        """Whether `prepare` does anything; where it does not, calling it costs a fill time for nothing."""
        ...

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        """Do in advance the part of `apply` that other programs cannot see; True when only a step as cheap as
        a rename is left.

        `apply` may follow with these updates, others or never. Raises nothing for what goes wrong: `apply`
        meets it again. A store that does its work in `apply` alone, as over a network, returns False.
        """

    def shown(self, alert: AlertId) -> Shown | None:
        """Return what the record shows now, None when no record of this identity is there."""

    def record(self, alert: AlertId) -> str | None:
        """Return the record's whole text, to be kept before a removal; None when it is not there."""
