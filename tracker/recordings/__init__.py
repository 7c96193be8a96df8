"""Recordings of what a client and a real Gateway send: made without names, and replayed.

It uses `gateway` and `paper`, which do not import each other. It never trades, and changes no store. Called
by `tracker record`, `replay` and `paper --replay`. Begin reading at `command` (recording) and `replay`;
RECORDINGS.md is for users.
"""
