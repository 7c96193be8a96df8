"""What a client and a real Gateway said to each other: recorded, without names, and played again.

It uses `gateway` and `paper`, which do not know each other. It never trades, and changes no store. Called by
`tracker record`, `replay` and `paper --replay`. Begin reading at `command` (recording) and `replay`;
RECORDINGS.md is for users.
"""
