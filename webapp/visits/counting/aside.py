"""Statements aside: PostgreSQL works on one processor while frames are reckoned on another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Aside:
    """Does functions one after the other, in the order in which they are given, in a thread of its own.

    Leaving the block waits for all of them. The first that failed is what the block fails with: those after it, and
    whoever asked for their answers, only found its transaction broken.
    """

    def __enter__(self) -> Aside:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="statements")
        self._futures: list[Future[object]] = []
        return self

    def do(
        self, function: Callable[Arguments, Answer], *given: Arguments.args, **named: Arguments.kwargs
    ) -> Future[Answer]:
        """Have it done when those before it are."""
        future = self._pool.submit(function, *given, **named)
        self._futures.append(future)  # type: ignore[arg-type]  # a future of an answer is one of an object
        return future

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        for future in self._futures:
            if not future.cancelled() and (failure := future.exception()) is not None:
                raise failure
