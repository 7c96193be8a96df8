"""The thread that answers questions: in order, urgent ones first, and never in the way of the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from tests.support.project import PROJECT
from tracker.queries.question_thread import QuestionThread


def test_urgent_question_is_answered_first() -> None:
    async def main() -> list[str]:
        thread = QuestionThread("questions")
        begun, go_on = threading.Event(), threading.Event()
        order: list[str] = []

        def hold() -> None:
            begun.set()
            go_on.wait(10)

        held = asyncio.create_task(thread.run(hold))
        assert await asyncio.to_thread(begun.wait, 10)
        others = [
            asyncio.create_task(thread.run(partial(order.append, name), urgent=urgent))
            for name, urgent in (("first", False), ("second", False), ("urgent", True))
        ]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(held, *others)
        thread.close()
        return order

    assert asyncio.run(main()) == ["urgent", "first", "second"]


def test_question_raises_to_its_asker() -> None:
    async def main() -> int:
        thread = QuestionThread("questions")
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 // 0)
        number = await thread.run(lambda: 7)
        thread.close()
        return number

    assert asyncio.run(main()) == 7


def test_abandoned_question_is_not_answered() -> None:
    """A client that went away while its question waited costs nothing more."""

    async def main() -> list[str]:
        thread = QuestionThread("questions")
        go_on = threading.Event()
        answered: list[str] = []
        held = asyncio.create_task(thread.run(lambda: go_on.wait(10)))
        abandoned = asyncio.create_task(thread.run(lambda: answered.append("abandoned")))
        await asyncio.sleep(0)
        abandoned.cancel()
        last = asyncio.create_task(thread.run(lambda: answered.append("last")))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(held, last)
        thread.close()
        return answered

    assert asyncio.run(main()) == ["last"]


def test_hanging_question_does_not_delay_exit() -> None:
    script = (
        "import asyncio, threading\n"
        "from tracker.queries.question_thread import QuestionThread\n"
        "async def main():\n"
        "    asyncio.create_task(QuestionThread('questions').run(threading.Event().wait))\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, timeout=20, check=False)
    assert done.returncode == 0


def test_urgent_question_does_not_rest() -> None:
    """After a long question the next ordinary one waits three times as long; an urgent one does not."""

    async def main() -> tuple[float, float]:
        thread = QuestionThread("questions")
        loop = asyncio.get_running_loop()
        await thread.run(lambda: time.sleep(0.2))
        begun = loop.time()
        ordinary = asyncio.create_task(thread.run(lambda: None))
        await thread.run(lambda: None, urgent=True)
        urgent_took = loop.time() - begun
        await ordinary
        thread.close()
        return urgent_took, loop.time() - begun

    urgent, ordinary = asyncio.run(main())
    assert urgent < 0.5
    assert ordinary > 0.5
