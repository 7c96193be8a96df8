"""`tracker mirror`: one alerts.json kept in step with the shared store.

It decides nothing about fills, and connects to no gateway.
"""
