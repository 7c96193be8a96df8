"""The status socket: one TCP port for lines of JSON, HTTP reads, Prometheus figures and a stream of events.

It owns the bounds on strangers, the token and the form of requests and answers; what a command does is given
to it. The daemon serves it, `client` asks it for the command line and watch. Begin reading at `server`, then
`dispatcher`; PROTOCOL.md is for users.
"""
