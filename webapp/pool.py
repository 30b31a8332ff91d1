"""The pool of connections to PostgreSQL, which says how full it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from webapp.lib.log import process_name
from webapp.metrics import pool_gauge


class WatchedPool(QueuePool):
    """A QueuePool whose size, connections in use and waiting threads are metrics."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._note("size", self.size())
        self._note("checked_out", 0)
        event.listen(self, "checkin", self._on_checkin)
        event.listen(self, "detach", self._on_detach)

    def connect(self) -> PoolProxiedConnection:
        """A connection, waited for if need be."""
        with pool_gauge(process_name(), "waiting").track_inprogress():
            connection = super().connect()
        self._note("checked_out", self.checkedout())
        self._note("overflow", max(self.overflow(), 0))
        return connection

    def _on_checkin(self, *_: object) -> None:
        """The pool still counts the one that comes back."""
        self._note("checked_out", max(self.checkedout() - 1, 0))

    def _on_detach(self, *_: object) -> None:
        self._note("checked_out", self.checkedout())

    def _note(self, state: str, count: int) -> None:
        pool_gauge(process_name(), state).set(count)
