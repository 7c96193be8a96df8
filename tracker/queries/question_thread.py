"""Answer questions one after another in a thread of their own, so that none ever holds up a fill.

Owns one daemon thread and the order of what waits for it. The thread never keeps the process from ending: a
question that is being answered then ends with the process.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

Reply = TypeVar("Reply")

_CLOSE: Final = -1


class _Waiting(NamedTuple):
    """Hold a question; the first two fields are its place in the queue."""

    rank: int
    """0 before 1."""
    number: int
    question: Callable[[], Any] | None
    answered: asyncio.Future[Any] | None


class QuestionThread:
    """Run one question at a time; what is urgent goes before what already waits."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: queue.PriorityQueue[_Waiting] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    async def run(self, question: Callable[[], Reply], *, urgent: bool = False) -> Reply:
        """Return the answer to a question, and raise what it raises."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._answer, name=self._name, daemon=True)
            self._thread.start()
        self._waiting.put(_Waiting(0 if urgent else 1, next(self._numbers), question, answered))
        return await answered

    def close(self) -> None:
        """Let the thread end after the question that it answers now; nothing that waits is answered."""
        self._waiting.put(_Waiting(_CLOSE, next(self._numbers), None, None))

    def _answer(self) -> None:
        while True:
            _, _, question, answered = self._waiting.get()
            if question is None or answered is None:
                return
            # Whoever asked may have gone away or waited too long.
            if answered.cancelled():
                continue
            try:
                reply = question()
            except BaseException as error:
                _hand_over(_fail, answered, error)
            else:
                _hand_over(_succeed, answered, reply)


def _hand_over(give: Callable[..., None], answered: asyncio.Future[Any], value: object) -> None:
    # The loop is closed where the tracker ended meanwhile.
    with suppress(RuntimeError):
        answered.get_loop().call_soon_threadsafe(give, answered, value)


def _succeed(answered: asyncio.Future[Any], reply: object) -> None:
    if not answered.done():
        answered.set_result(reply)


def _fail(answered: asyncio.Future[Any], error: BaseException) -> None:
    if not answered.done():
        answered.set_exception(error)
