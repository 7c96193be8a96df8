"""The alert store: alerts.json of another program, and the two read-only stores of its alerters.

Owns reading them, and writing the tracker's three fields into exactly the records that are meant. The pump
reads and writes through `core.ports.AlertStore`; whoever opens a store uses `alert_stores.StorePort`. Begin
reading at `alert_stores`, then `alert_file`, whose head states the rules of the shared file.
"""
