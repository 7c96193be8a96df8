"""The status socket: one TCP port for lines of JSON, HTTP reads, Prometheus figures and a stream of events.

It owns the limits for clients, the token and the form of requests and answers; the daemon gives it the
commands. The daemon runs the server; the command line and watch use `client`. Begin reading at `server`, then
`dispatcher`; PROTOCOL.md is for users.
"""
