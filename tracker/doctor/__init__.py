"""`tracker doctor`: check a set-up before the first trade.

`examine` runs the checks in order; each `check_*` module is pure and judges one thing; `probes`,
`filesystems` and `read_stores` gather the facts. Called by the command line. Begin reading at `examine`.
"""
