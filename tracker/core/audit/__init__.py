"""Compare what the tracker believes with the alert store and the broker, and name where they disagree.

Pure, like the rest of the core; `reconcile` gathers the views and prints what is found. Begin with `inputs`
(the three views), then `rules` (what is looked for) and `discrepancies` (the kinds and their words).
"""
