"""Decide what each broker fact changes: what is held, which alerts own it, what their records must show.

Pure: the same frames and the same alerts give the same rows; no clock, no file, no socket. The pipeline calls
it (`ledger.Ledger.apply`, then `settle`), the queries and the audit read the rows that it keeps.

Begin with `model` (the facts) and `ledger` (what each fact does), then `positions` and `lots` (what is held
and by whom), `matching` (which alert is meant) and `MATCHING.md` (the rules in a trader's words).
"""
