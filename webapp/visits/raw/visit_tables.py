"""Tables of visits' numbers that a reading makes once, as SQL for DuckDB, for statements that choose rows by visits.

Tables of their own, since a planner that cannot tell how many numbers a join finds takes the rows of a year into memory
to look up a thousand visits among them, which was 30 times as slow.
"""

from __future__ import annotations

import re

BECAME, SIGNED, PASSING, SHOWN = "became", "signed_visits", "passing_visits", "visits_of_rows"
DID = "did_{number}"
"""Numbers of visits in which something was done that a filter names."""
NAMES = re.compile(rf"\b({BECAME}|{SIGNED}|{PASSING}|{SHOWN}|{DID.format(number='[0-9]+')})\b")
DOUBLINGS = 6
"""Each step follows visits twice as far as the one before: up to 64 joins, one after the other, which is more than
half hours in the margin. Most sites have few joins, and then a step takes nothing. SQL's own recursion takes longer,
since nobody can tell beforehand how many rows it finds."""
FURTHER = """
    step_{after} AS MATERIALIZED (
        SELECT visit, joined FROM step_{before}
        UNION SELECT near.visit, far.joined FROM step_{before} AS near JOIN step_{before} AS far
            ON far.visit = near.joined
    )
"""
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
DID_IT = f"""
    WITH did AS MATERIALIZED (SELECT DISTINCT visit FROM {{rows}}),
    stand AS MATERIALIZED (
        SELECT visit FROM did UNION ALL SELECT {BECAME}.joined FROM {BECAME} SEMI JOIN did ON did.visit = {BECAME}.visit
    )
    SELECT visit FROM stand
    UNION ALL SELECT {BECAME}.visit FROM {BECAME} SEMI JOIN stand ON stand.visit = {BECAME}.joined
"""
"""All numbers under which rows of a visit may be found, of visits of which one row is among these."""


def became(rows: str) -> str:
    """Which visits went into which others, at once or by others between them, from visits that were joined."""
    steps = [FURTHER.format(before=step, after=step + 1) for step in range(DOUBLINGS)]
    first = f"step_0 AS MATERIALIZED (SELECT visit, joined FROM {rows})"
    return f"WITH {', '.join([first, *steps])} SELECT visit, joined FROM step_{DOUBLINGS}"
