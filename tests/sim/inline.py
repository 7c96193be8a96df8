"""The worker of a simulated life: it does everything at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Inline(Executor):
    """Run each call at once, so that a life is the same every time; a crash is one of the whole process."""

    def submit(self, call: Callable[..., Answer], /, *args: Any, **more: Any) -> Future[Answer]:
        future: Future[Answer] = Future()
        try:
            future.set_result(call(*args, **more))
        except Exception as error:
            # Handed to whoever awaits, as a real executor does.
            future.set_exception(error)
        return future
