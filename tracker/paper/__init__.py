"""A gateway that speaks the TWS protocol, for orders on paper: no market data, no history.

`server` listens, `responses` answers each request, `order_engine` changes the `book`, `broadcast` pushes
what changed, `scenario_player` plays scenario files. It imports nothing else of tracker. Called by the
command line (`service`), the demo and the tests. Begin reading at `server`.
"""
