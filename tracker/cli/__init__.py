"""The command line: which commands and flags there are, and how an answer becomes text and an exit code.

It does no work itself and imports what a command needs only when that is called. Called by `python -m
tracker` and the installed `tracker`. Begin reading at `main`, then `commands`.
"""
