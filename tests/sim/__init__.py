"""A seeded simulation of the broker, the link, the neighbour and crashes around the real journal and pump.

Run `python -m tests.sim SEED --trace` to see one life, `python -m tests.sim --seeds 2000` to try many.
"""
