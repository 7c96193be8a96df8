"""The words of the help page, within 80 columns and one screen of 24 lines."""

from typing import Final

HELP: Final = """\
Tab, Shift+Tab  the next list, the one before     arrows, PgUp, PgDn  move in it
w or Enter      why: where this fill went, or why this alert looks as it does
a               assign the fill under the cursor to an alert
d               dismiss it: it belongs to no alert
r               ask for everything now; while the tracker is away, try now
? help          q end the screen; the tracker goes on          Esc back

OPEN ALERTS     those that alerts.json shows open, with what the tracker holds
                for them; "no fill" means it was open before any fill of ours
NEEDS YOU       fills that could belong to several alerts (ambiguous) or nearly
                to one (near miss). They opened nothing until you decide
FILLS TODAY     every fill as it comes, and what became of it
last frame      when the gateway last said anything; it is asked at the latest
                every gateway.sweep_seconds
FRAME TO FILE   from the broker's message to alerts.json, synced: half of the
                changes took p50 or less, 99 of 100 took p99 or less

TRACKER AWAY    the daemon does not answer. Fills are not lost: the tracker
                fetches today's at its next start. This screen tries by itself"""
