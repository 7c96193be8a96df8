"""The running tracker: its parts, wired together, from start to end.

Owns start, signals, exit codes and what `status` answers; `tracker run` calls it. It decides nothing about
fills. Begin reading at `run`.
"""
