"""What a client and a real Gateway said to each other: recorded, without names, and played again.

Composes `gateway` and `paper`, which do not know each other. It never trades, and changes no store.
"""
