"""Moving on the last thirty days of product views: what has left them is taken off the totals.

One site's day is one transaction, which also says that the day is off. So this may die anywhere, be done
twice at a time, or be late by weeks, and the totals are exact for the days that they name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from webapp.visits.counting import product_view_sql as sql
from webapp.visits.counting.product_views import OTHER_SKU, first_day_of, lock

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class _Due:
    """A site whose totals begin with a day that is over."""

    site_id: UUID
    first_day: date
    target: date


def move_windows(connect: Callable[[], Connection], commit: Callable[[], None], tenant: UUID, now: datetime) -> int:
    """Let all days leave that have to, each in a transaction of its own that `commit` ends; how many left."""
    left_count = 0
    while step(connect(), tenant, now):
        commit()
        left_count += 1
    commit()
    return left_count


def step(connection: Connection, tenant: UUID, now: datetime) -> bool:
    """Let one day of one site leave, or empty ones together; whether there was any."""
    lock(connection, tenant)
    due = _next_due(connection, tenant, now)
    if due is None:
        return False
    values: dict[str, object] = {"tenant": tenant, "site": due.site_id, "other": OTHER_SKU}
    found = connection.execute(sql.NEXT_DAY, {**values, "since": due.first_day, "until": due.target}).fetchone()
    day = found[0] if found else None
    if day is not None:
        connection.execute(sql.LET_DAY_LEAVE, {**values, "day": day})
        connection.execute(sql.DROP_EMPTY, values)
    connection.execute(sql.SET_WINDOW, {**values, "first_day": day + timedelta(days=1) if day else due.target})
    return True


def _next_due(connection: Connection, tenant: UUID, now: datetime) -> _Due | None:
    for site_id, first_day, zone in connection.execute(sql.LIST_WINDOWS, [tenant]).fetchall():
        target = first_day_of(now, zone)
        if first_day < target:
            return _Due(site_id, first_day, target)
    return None
