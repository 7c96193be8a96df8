"""A message of a newer gateway is given in the layout that an older client reads."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.support.paper_clients import NVDA, make_gateway, raw_client, until
from tracker.paper import encode_messages, encode_orders
from tracker.recordings.message_layouts import as_older
from tracker.recordings.playback import Playback
from tracker.recordings.transcript import CLIENT, GATEWAY, Said, Side, Transcript, TranscriptHead


@pytest.mark.parametrize("recorded", [177, 178])
def test_newer_layouts_become_older_ones(recorded: int) -> None:
    """As the paper gateway writes them for each version."""
    gateway = make_gateway()
    order = gateway.order(NVDA, "BUY", 3, limit=2, order_ref="a/NVDA")
    execution = gateway.fill(order)

    def written(version: int) -> list[tuple[str, ...]]:
        return [
            encode_orders.open_order(order, version),
            encode_orders.completed_order(order, "20251118 12:00:00 US/Eastern", version),
            encode_messages.execution_details(execution, -1, "20251118 12:00:00 US/Eastern", version),
            encode_messages.order_status(order),
        ]

    newer = written(recorded)
    assert [as_older(fields, recorded, 176) for fields in newer] == written(176)
    assert [as_older(fields, recorded, recorded) for fields in newer] == newer
    assert newer[0] != written(176)[0]


def test_newer_recording_is_played_to_older_client() -> None:
    """One of ib_async, which speaks 178, to ib_insync and so to the tracker, which speak 176."""
    gateway = make_gateway()
    execution = gateway.fill(gateway.order(NVDA, "BUY", 3, limit=2))
    time = "20251118 12:00:00 US/Eastern"
    newer, older = (encode_messages.execution_details(execution, -1, time, version) for version in (178, 176))
    assert (len(newer), len(older)) == (32, 31)
    said: tuple[tuple[Side, tuple[str, ...]], ...] = (
        (GATEWAY, ("API", "178", "20251118 12:00:00 EST")),
        (CLIENT, ("71", "2", "0", "")),
        (GATEWAY, ("15", "1", "DU9000001")),
        (GATEWAY, newer),
    )
    lines = tuple(Said(number / 100, 1, by, fields) for number, (by, fields) in enumerate(said))
    began = datetime(2025, 11, 18, 17, 0, tzinfo=UTC)
    transcript = Transcript(TranscriptHead(began, "US/Eastern", "a test"), lines)

    async def story() -> None:
        playback = Playback(transcript, host="127.0.0.1", port=0, speed=1, now=lambda: began)
        await playback.start()
        try:
            for versions, expected in (("v157..176", older), ("v157..178", newer)):
                async with raw_client(playback, 5, versions) as client:
                    await asyncio.wait_for(playback.over.wait(), 10)
                    client.send(7, 3, 9, 0, "", "", "", "", "", "")
                    await client.until("55")
                    assert (expected[0], "9", *expected[2:]) in client.of("11")
            async with raw_client(playback, None, "v157..175") as client:
                client.send(71, 2, 3, "")
                await until(lambda: client.closed, "the end of the link")
        finally:
            await playback.stop()

    asyncio.run(story())
