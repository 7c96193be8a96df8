"""The way of a frame from the journal through the core into the alert store.

Owns the order of these steps, and what is compared and tried again. The daemon runs it for as long as it
lives; `reconcile`, `assign` and `dismiss` run it once where no daemon does (`tracker.wiring` builds it for
all of them). Begin reading at `pump`: `delivery` is what follows a decision, `store_changes` what other
programs' writes lead to, `store_watch` whether the store is there at all.
"""
