"""Decode one journalled frame of any source into a fact of `core.model`.

Owns the choice of the reader: `normalise.py` reads messages of TWS, `flex_rows.py` reads rows of a Flex
report. A frame is decoded again whenever it is needed, so the same frame must always give the same fact.
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
