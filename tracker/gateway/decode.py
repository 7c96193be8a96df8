"""One journalled frame into a fact of `core.model`, wherever it came from.

Owns the choice of the reader: messages of TWS are read in `normalise.py`, rows of a Flex report in
`flex_rows.py`. A frame is decoded again whenever it is needed, so the same frame always gives the same fact.
"""

from __future__ import annotations

from datetime import tzinfo

from tracker.core.model import BrokerFact, Frame, Source
from tracker.gateway.flex_rows import fact_of_row
from tracker.gateway.normalise import normalise


def fact_of(frame: Frame, login_zone: tzinfo) -> BrokerFact | None:
    """Return the fact that a frame holds, None where it holds none, Undecodable where it cannot be read.

    `login_zone` is the zone of a TWS time that names none; a Flex report's times are New York's.
    """
    if frame.source is Source.FLEX:
        return fact_of_row(frame)
    return normalise(frame, login_zone)
