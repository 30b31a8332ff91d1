"""Every id counts once: ids of counted beacons are kept in packs, those of one second and one batch in one row.

An id is a UUIDv7, so it says when it was made, and a retry lies in the same second. Only the packs of a batch's own
seconds are read, and one row holds thousands of ids: a row and an index entry for each took a seventh of all the
time. Nothing but the lock keeps two from adding the same id at once: there is one writer.

Whoever makes ids chooses their second, and with very many in one, each batch with one of them would read them all. So
where a second's packs hold many already, and many more than a batch adds, each further id has a row of its own.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy
import polars as pl
import psycopg

from webapp.lib.ids import uuid7

Connection = psycopg.Connection[Any]
ID_BYTES = 16
FEW = 2_000
"""Packs of a second may always hold so many ids."""
TIMES = 8
"""They may hold so many times what a batch adds to them: then reading them costs each of its beacons little."""
_ID = ["high", "low"]
_SECOND = pl.col("high") // (1000 << 16)
_LONE = pl.lit(0xFF << 56, pl.UInt64)
"""What makes a lone id's row lie behind all packs of its second; the byte that it hides follows from that second."""


def keep_unseen(connection: Connection, tenant: UUID, rows: pl.DataFrame) -> pl.DataFrame:
    """Enter the rows' ids, each of which they have once, as seen, and return the rows whose ids were not."""
    ids = _with_second(_ids_of(b"".join(rows.get_column("id")))).with_row_index("row")
    packed = _list_packed(connection, tenant, ids)
    fresh = _unseen(connection, tenant, ids, packed)
    if fresh.is_empty():
        return rows.clear()
    _keep(connection, tenant, fresh, packed)
    return rows if fresh.height == rows.height else rows[fresh.get_column("row")]


def list_seen(connection: Connection, tenant: UUID, ids: list[bytes]) -> list[bytes]:
    """Those of the ids that were counted."""
    if not ids:
        return []
    wanted = _with_second(_ids_of(b"".join(ids))).with_columns(id=pl.Series(ids, dtype=pl.Binary))
    unseen = _unseen(connection, tenant, wanted, _list_packed(connection, tenant, wanted))
    return wanted.join(unseen, on=_ID, how="anti", maintain_order="left").get_column("id").to_list()


def _ids_of(content: bytes) -> pl.DataFrame:
    """Ids that lie one behind the other, each as two numbers."""
    halves = numpy.frombuffer(content, ">u8").reshape(-1, 2).astype("u8")
    return pl.DataFrame({"high": halves[:, 0], "low": halves[:, 1]}, schema={"high": pl.UInt64, "low": pl.UInt64})


def _with_second(ids: pl.DataFrame) -> pl.DataFrame:
    return ids.with_columns(second=_SECOND.cast(pl.Int64))


def _list_packed(connection: Connection, tenant: UUID, ids: pl.DataFrame) -> pl.DataFrame:
    """All ids in packs of these ids' seconds."""
    seconds = ids.get_column("second").unique().to_list()
    with connection.cursor(binary=True) as cursor:
        cursor.execute(PACKS, [seconds, tenant], prepare=False)
        return _with_second(_ids_of(b"".join(content for (content,) in cursor)))


def _unseen(connection: Connection, tenant: UUID, ids: pl.DataFrame, packed: pl.DataFrame) -> pl.DataFrame:
    """Those of the ids that are in no pack, and have no row of their own. Only a second with many ids has such rows."""
    fresh = ids.join(packed, on=_ID, how="anti", maintain_order="left")
    crowded = packed.group_by("second").len().filter(pl.col("len") > FEW).get_column("second").to_list()
    if not crowded:
        return fresh
    seconds = [second for (second,) in connection.execute(SECONDS_WITH_LONE, [crowded, tenant], prepare=False)]
    asked = fresh.filter(pl.col("second").is_in(seconds))
    found = connection.execute(LONE, [*_lone_columns(asked), tenant], prepare=False).fetchall()
    known = _ids_of(b"".join(part.bytes for (part,) in found)).rename({"high": "lone"})
    return fresh.with_columns(lone=pl.col("high") | _LONE).join(
        known, on=["lone", "low"], how="anti", maintain_order="left"
    )


def _keep(connection: Connection, tenant: UUID, fresh: pl.DataFrame, packed: pl.DataFrame) -> None:
    """Sorted, so that a second's ids lie together."""
    known = packed.group_by("second").agg(known=pl.len())
    counts = fresh.group_by("second").agg(added=pl.len()).join(known, on="second")
    crowded = counts.filter((pl.col("known") > FEW) & (pl.col("known") > TIMES * pl.col("added")))
    lone = fresh.join(crowded, on="second", how="semi")
    if not lone.is_empty():
        connection.execute(KEEP_LONE, [tenant, *_lone_columns(lone)], binary=True)
        fresh = fresh.join(crowded, on="second", how="anti")
    _keep_packs(connection, tenant, fresh.sort(_ID))


def _keep_packs(connection: Connection, tenant: UUID, fresh: pl.DataFrame) -> None:
    content = _content(fresh, _ID)
    counts = fresh.group_by("second", maintain_order=True).len()
    ends = counts.get_column("len").cum_sum().to_list()
    packs = [content[ID_BYTES * begin : ID_BYTES * end] for begin, end in zip([0, *ends], ends, strict=False)]
    connection.execute(KEEP, [tenant, uuid7(), counts.get_column("second").to_list(), packs], binary=True)


def _lone_columns(ids: pl.DataFrame) -> list[list[Any]]:
    """Second and part of each id's own row."""
    content = _content(ids.with_columns(lone=pl.col("high") | _LONE), ["lone", "low"])
    parts = [UUID(bytes=content[at : at + ID_BYTES]) for at in range(0, len(content), ID_BYTES)]
    return [ids.get_column("second").to_list(), parts]


def _content(ids: pl.DataFrame, names: list[str]) -> bytes:
    return numpy.column_stack([ids.get_column(name).to_numpy() for name in names]).astype(">u8").tobytes()


FIRST_LONE = "'ff000000-0000-0000-0000-000000000000'"
# One index look-up for each second, whatever the planner thinks of the sizes.
PACKS = f"""
    SELECT s.ids FROM unnest(%s::bigint[]) AS w (second)
    CROSS JOIN LATERAL (
        SELECT ids FROM seen WHERE organisation_id = %s AND second = w.second AND part < {FIRST_LONE} OFFSET 0
    ) AS s
"""  # noqa: S608  (our own constant)
SECONDS_WITH_LONE = f"""
    SELECT w.second FROM unnest(%s::bigint[]) AS w (second)
    CROSS JOIN LATERAL (
        SELECT FROM seen WHERE organisation_id = %s AND second = w.second AND part >= {FIRST_LONE} LIMIT 1
    ) AS s
"""  # noqa: S608  (our own constant)
LONE = """
    SELECT s.part FROM unnest(%s::bigint[], %s::uuid[]) AS w (second, part)
    CROSS JOIN LATERAL (
        SELECT part FROM seen WHERE organisation_id = %s AND second = w.second AND part = w.part OFFSET 0
    ) AS s
"""
KEEP = """
    INSERT INTO seen (organisation_id, part, second, ids)
    SELECT %s, %s, w.second, w.ids FROM unnest(%s::bigint[], %s::bytea[]) AS w (second, ids)
"""
KEEP_LONE = """
    INSERT INTO seen (organisation_id, second, part, ids)
    SELECT %s, w.second, w.part, '' FROM unnest(%s::bigint[], %s::uuid[]) AS w (second, part)
"""
