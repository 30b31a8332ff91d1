"""Tables of visits' numbers that a reading makes once, as SQL for DuckDB, for statements that choose rows by visits.

Tables of their own, since a planner that cannot tell how many numbers a join finds takes the rows of a year into memory
to look up a thousand visits among them, which was 30 times as slow.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

BECAME, SIGNED, PASSING, SHOWN = "became", "signed_visits", "passing_visits", "visits_of_rows"
UNSURE = "unsure_visits"
DID = "did_{number}"
"""Numbers of visits in which something was done that a filter names."""
NAMES = re.compile(rf"\b({BECAME}|{SIGNED}|{PASSING}|{SHOWN}|{UNSURE}|{DID.format(number='[0-9]+')})\b")
PASSING_VISITS = f"""
    WITH changed AS MATERIALIZED (SELECT visit FROM {SIGNED} WHERE sign < 0),
    passing AS MATERIALIZED (
        SELECT visit FROM {SIGNED} ANTI JOIN changed USING (visit)
        UNION ALL
        SELECT visit FROM {SIGNED} SEMI JOIN changed USING (visit) GROUP BY visit HAVING sum(sign) > 0
    )
    SELECT visit FROM passing
    UNION ALL SELECT {BECAME}.visit FROM {BECAME} SEMI JOIN passing ON passing.visit = {BECAME}.joined
"""
"""Visits that pass, and those that became them. Few changed after they were written: only those are added up."""
VISITS_OF_ROWS = f"""
    WITH own AS MATERIALIZED (SELECT DISTINCT visit FROM {{rows}})
    SELECT visit FROM own
    UNION ALL SELECT {BECAME}.joined FROM {BECAME} SEMI JOIN own ON own.visit = {BECAME}.visit
"""
"""Visits of which one row is among these, and those that they became."""
UNSURE_VISITS = f"""
    WITH own AS MATERIALIZED (SELECT DISTINCT visit FROM {{rows}})
    SELECT visit FROM own
    UNION ALL SELECT {BECAME}.visit FROM {BECAME} SEMI JOIN own ON own.visit = {BECAME}.joined
"""
"""Visits whose entry does not pass, though another row may, and those that became them."""
DID_IT = f"""
    WITH did AS MATERIALIZED (SELECT DISTINCT visit FROM {{rows}}),
    stand AS MATERIALIZED (
        SELECT visit FROM did UNION ALL SELECT {BECAME}.joined FROM {BECAME} SEMI JOIN did ON did.visit = {BECAME}.visit
    )
    SELECT visit FROM stand
    UNION ALL SELECT {BECAME}.visit FROM {BECAME} SEMI JOIN stand ON stand.visit = {BECAME}.joined
"""
"""All numbers under which rows of a visit may be found, of visits of which one row is among these."""


def follow(joined: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each visit that went into another with all that it became, at once or by others between them."""
    onward: dict[int, set[int]] = defaultdict(set)
    for visit, into in joined:
        onward[visit].add(into)
    return [(visit, into) for visit in onward for into in _reached(visit, onward) - {visit}]


def _reached(visit: int, onward: Mapping[int, set[int]]) -> set[int]:
    reached: set[int] = set()
    waiting = [visit]
    while waiting:
        further = onward.get(waiting.pop(), set()) - reached
        reached |= further
        waiting += further
    return reached
