"""The link to TWS or IB Gateway, and the reading of what it brings: the only home of ib_insync.

Owns everything between the socket and a journalled frame, the requests that are sent, and the decoding of a
frame into a fact of `core.model`. It places, changes and cancels no order: `allowlist.py` checks every
message before it is sent. The daemon and `reconcile` run it through `reconnect.ReconnectingLink`, the pump
decodes through `decode.fact_of`, `doctor` checks a gateway through `preflight.run_preflight`.

Begin with `reconnect.py` (attempts and backoff), then `connection.py` (one connection), `capture.py` (from
bytes to the journal) and `decode.py` (from a frame to a fact).
"""
