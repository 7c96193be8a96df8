"""Bring each frame from the journal through the core into the alert store.

Owns the order of these steps, and what is compared and tried again. The daemon runs it all the time;
`reconcile`, `assign` and `dismiss` run it once if no daemon runs (`tracker.wiring` builds it for all of
them). Begin reading at `pump`: `delivery` writes what was decided, `store_changes` finds what other programs
changed, `store_watch` whether the store can be used at all.
"""
