"""The arguments of the socket's commands about fills and alerts, one type for each command.

Owns which arguments there are; `status.arguments` reads them.
"""

from __future__ import annotations

from tracker.status.arguments import (
    MOST_ROWS,
    AlertName,
    CommandArguments,
    ExecId,
    ExecIdOrAlertName,
    Flag,
    Limit,
    Number,
    Text,
)


class FillsArguments(CommandArguments, frozen=True):
    """Say which fills to list."""

    since: Text = ""
    alert: AlertName = ""
    account: Text = ""
    limit: Limit = MOST_ROWS


class InboxArguments(CommandArguments, frozen=True):
    """Say from which moment on fills of no alert are counted, and whether they are listed."""

    since: Text = "today"
    all: Flag = False
    limit: Limit = MOST_ROWS


class WhyArguments(CommandArguments, frozen=True):
    """Name what to explain."""

    of: ExecIdOrAlertName
    account: Text = ""


class AlertsArguments(CommandArguments, frozen=True):
    """Say which alerts to list."""

    alert: AlertName = ""
    open: Flag = False
    limit: Limit = MOST_ROWS


class TestArguments(CommandArguments, frozen=True):
    """Describe a made-up fill; numbers may be given as texts."""

    symbol: Text = ""
    side: Text = ""
    quantity: Number = None
    strike: Number = None
    right: Text = ""
    expiry: Number = None
    con_id: Number = None
    order_ref: Text = ""
    alert: AlertName = ""
    commit: Flag = False


class AssignArguments(CommandArguments, frozen=True):
    """Name a fill, by execId or number, or an order by its permId, and the alert that it belongs to.

    With a quantity only so much of the fill is assigned.
    """

    alert: AlertName
    exec_id: ExecId = ""
    account: Text = ""
    order: Text = ""
    quantity: Number = None
    dry_run: Flag = False


class DismissArguments(CommandArguments, frozen=True):
    """Name a fill, by execId or number, or an order by its permId, that needs no decision any longer."""

    exec_id: ExecId = ""
    account: Text = ""
    order: Text = ""
    dry_run: Flag = False


class AdjustArguments(CommandArguments, frozen=True):
    """Name a contract, and why its position changed without an execution."""

    contract: Text
    account: Text = ""
    split: Text = ""
    becomes: Text = ""
    ratio: Text = ""
    moved: Text = ""
    note: Text = ""
    dry_run: Flag = False


class UndoArguments(CommandArguments, frozen=True):
    """Name a decision or an adjustment to take back: by its ID, or by what it was about."""

    id: Text
    account: Text = ""
    dry_run: Flag = False


class GapsArguments(CommandArguments, frozen=True):
    """Hold whether closed gaps are listed too, and the day of one to accept."""

    all: Flag = False
    accept: Text = ""
    dry_run: Flag = False
