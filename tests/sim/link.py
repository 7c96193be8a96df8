"""What happens to a link that is up: storms, silence, drops, and messages that come a few at a time.

Owns the draw of these; the session behaves as the tracker does.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.sim.gateway import SimGateway
from tests.sim.options import Options
from tests.sim.session import SimSession


def go_on(
    rng: Random, options: Options, gateway: SimGateway, session: SimSession, tell: Callable[[str], None]
) -> bool:
    """Go on with a link for one step; return whether it is still up."""
    if rng.random() < options.storms:
        if gateway.upstream:
            tell("1100")
            gateway.lose_upstream()
        else:
            tell("1101 or 1102")
            gateway.regain_upstream()
    if rng.random() < options.silences:
        tell("the gateway falls silent")
        gateway.silent = True
    if rng.random() < 0.3:
        gateway.release()
    session.receive(rng.choice((0, 1, 2, 5, 50, 500)))
    if not session.tick():
        tell("link given up")
        return False
    if rng.random() < options.drops:
        tell("link dropped")
        session.down()
        return False
    if rng.random() < 0.04:
        session.want_sweep()
    elif rng.random() < 0.03:
        session.want_positions()
    return True
