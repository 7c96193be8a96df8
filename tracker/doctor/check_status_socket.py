"""Check the status socket and its token. Pure."""

from __future__ import annotations

from typing import Final

from tracker.doctor.finding import Finding, Level, PortState, StatusPort, Token

_OTHERS: Final = 0o077


def check_status_port(port: StatusPort, *, ours: bool) -> Finding:
    """Check whether the daemon can listen there, or does already."""
    check, place = "status_socket", f"{port.host}:{port.port}"
    step = "end what listens there, or choose another status.port"
    if ours:
        return Finding(check, Level.OK, f"the tracker answers on {place}")
    match port.state:
        case PortState.FREE if port.loopback:
            return Finding(check, Level.OK, f"{place} is free")
        case PortState.FREE:
            return Finding(
                check,
                Level.WARNING,
                f"{place} is free, and other machines can reach it; tokens and fills are sent unencrypted",
                "use 127.0.0.1 and an SSH tunnel, unless you trust the network",
            )
        case PortState.ANY_FREE:
            return Finding(
                check,
                Level.NOTE,
                "port 0: the tracker takes a free one, which only its log names",
                "set status.port, so that `tracker status` and the other commands find it",
            )
        case PortState.TRACKER:
            found = f"{place} belongs to a tracker of another journal, {port.journal}"
            return Finding(check, Level.FAULT, found, "choose another status.port for one of them")
        case PortState.REFUSED:
            found = f"{place} belongs to a tracker that refused to answer: {port.reason}"
            return Finding(
                check, Level.FAULT, found, "run this as that tracker's user, or change status.port"
            )
        case PortState.OTHER_PROGRAM:
            return Finding(check, Level.FAULT, f"{place} is in use: {port.reason}", step)
        case PortState.UNUSABLE:
            found = f"{place} cannot be listened on: {port.reason}"
            return Finding(check, Level.FAULT, found, "correct status.host and status.port")


def check_token(token: Token, port: StatusPort, *, running: bool) -> Finding:
    """Check the token's file: only its user can read it, and it exists where it is needed."""
    check = "token"
    needed = "every request" if not port.loopback else "requests that change something"
    if token.mode is None:
        if running:
            found = f"{token.path} is not there, though the tracker runs"
            step = "restart the tracker: it makes a new one"
            return Finding(check, Level.WARNING, found, step)
        return Finding(check, Level.OK, f"made when the tracker starts, for {needed}")
    if token.mode & _OTHERS:
        found = f"{token.path} has mode {token.mode:04o}: others may read or change it"
        return Finding(check, Level.WARNING, found, f"chmod 600 {token.path}, then restart the tracker")
    if not token.readable:
        found = f"{token.path} cannot be read by this user, and is required for {needed}"
        return Finding(check, Level.WARNING, found, "run commands as the tracker's user")
    return Finding(check, Level.OK, f"mode {token.mode:04o}, for {needed}")
