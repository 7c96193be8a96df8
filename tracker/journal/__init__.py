"""The journal: one SQLite file with every input unchanged, and the state made from it.

Owns all SQL, the durability of a commit and the migrations of the schema. It decides nothing. The capture
appends through `daemon.journal_sink`, the pump changes state rows inside `Journal.step`, and queries read
beside a running daemon with `read_only`.

Begin with `journal.py` (frames and transactions), then `rows.py` (state rows and their cache),
`journal_file.py` (opening it, and what can be wrong with it) and `migrations.py` (the schema).
"""
