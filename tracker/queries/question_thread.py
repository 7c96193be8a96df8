"""Answer questions one after another in a thread of their own, so that none ever delays a fill.

Owns one daemon thread and the order of the questions that wait for it. The thread never keeps the process
from ending: the question that it answers at that moment gets no answer.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

Reply = TypeVar("Reply")

_REST: Final = 3.0
"""The pause after a question that is not urgent, as a multiple of the time it took, which is left to
fills.
"""
_LONGEST_REST: Final = 2.0
"""The longest such pause, in seconds."""
_CLOSE: Final = -1


class _Waiting(NamedTuple):
    """Hold a question; the first two fields give its place in the queue."""

    rank: int
    """0 for an urgent question, else 1."""
    number: int
    question: Callable[[], Any]
    answered: asyncio.Future[Any] | None


class QuestionThread:
    """Answer one question at a time; an urgent one goes before those that already wait."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._rests_until = 0.0

    async def run(self, question: Callable[[], Reply], *, urgent: bool = False) -> Reply:
        """Return the answer to a question, or raise what it raises."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._answer, name=self._name, daemon=True)
            self._thread.start()
        self._append(0 if urgent else 1, question, answered)
        return await answered

    def close(self) -> None:
        """Let the thread end after the question that it answers now; nothing that waits is answered."""
        self._append(_CLOSE, lambda: None, None)

    def _append(self, rank: int, question: Callable[[], Any], answered: asyncio.Future[Any] | None) -> None:
        with self._changed:
            heapq.heappush(self._waiting, _Waiting(rank, next(self._numbers), question, answered))
            self._changed.notify()

    def _next(self) -> _Waiting:
        """Wait for the next question; one that is not urgent waits until the thread has rested."""
        with self._changed:
            while True:
                left = self._rests_until - time.monotonic()
                if self._waiting and (self._waiting[0].rank <= 0 or left <= 0):
                    return heapq.heappop(self._waiting)
                self._changed.wait(left if self._waiting else None)

    def _answer(self) -> None:
        while True:
            rank, _, question, answered = self._next()
            if answered is None:
                return
            # The client may have disconnected or waited too long.
            if answered.cancelled():
                continue
            begun = time.monotonic()
            try:
                reply = question()
            except BaseException as error:
                _hand_over(_fail, answered, error)
            else:
                _hand_over(_succeed, answered, reply)
            if rank > 0:
                ended = time.monotonic()
                self._rests_until = ended + min(_REST * (ended - begun), _LONGEST_REST)


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
