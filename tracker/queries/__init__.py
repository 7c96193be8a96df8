"""Answers about fills and alerts (fills, inbox, why, gaps, dry runs), and a person's decisions about a fill.

It reads the committed journal and the last good state of the alert store, and writes nothing itself. The
command line calls it directly, the daemon through `socket_commands`. Begin reading at `why`; ANSWERS.md lists
the shapes.
"""
