"""A site's raw rows, a few files at a time, for counting them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

import polars as pl
from flask import current_app

from webapp.config import Settings
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, VISIT_SCHEMA
from webapp.visits.raw.sources import RawSources

ROWS_AT_ONCE = 500_000
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
SCHEMAS = {RawKind.ACTIVITY: ACTIVITY_SCHEMA, RawKind.VISIT: VISIT_SCHEMA}


def read_raw_rows(
    organisation_id: UUID, site_id: UUID, span: tuple[datetime, datetime] = ALWAYS
) -> dict[RawKind, list[str]]:
    """Local files with all of a site's raw rows of a span, and some around it, as they are in one moment."""
    settings: Settings = current_app.extensions["settings"]
    found = _sources(settings).read(organisation_id, [site_id], dict.fromkeys(RawKind, span))
    return {kind: list(rows.paths) for kind, rows in found.items()}


def frames_of(kind: RawKind, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The rows of these files, so many at a time that they fit into memory, however large the files are."""
    kept: list[pl.DataFrame] = []
    for frame in _slices(kind, paths):
        kept.append(frame)
        if sum(frame.height for frame in kept) >= ROWS_AT_ONCE:
            yield pl.concat(kept)
            kept = []
    if kept:
        yield pl.concat(kept)


def _slices(kind: RawKind, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
    for path in paths:
        rows = pl.scan_parquet(path).select(SCHEMAS[kind].names())
        for start in range(0, rows.select(pl.len()).collect().item(), ROWS_AT_ONCE):
            yield rows.slice(start, ROWS_AT_ONCE).collect()


def difference(kind: RawKind, present: Sequence[str], gone: Sequence[str]) -> pl.DataFrame | None:
    """What files that are there now hold more than those that they took the place of, in whatever way.

    Of visits that is by how much they changed, as `sign`: files may leave out what cancels out. Activity is never
    taken back, so where there is less of it than before somebody was erased, and the answer is None.
    """
    now, before = _weigh(kind, present), _weigh(kind, gone)
    key = [name for name in now.columns if name != "weight"]
    both = now.join(before, on=key, how="full", coalesce=True, suffix="_before")
    changed = both.select(*key, weight=pl.col("weight").fill_null(0) - pl.col("weight_before").fill_null(0))
    changed = changed.filter(pl.col("weight") != 0)
    if kind is RawKind.VISIT:
        return changed.rename({"weight": "sign"}).select(VISIT_SCHEMA.names())
    if changed.filter(pl.col("weight") < 0).height:
        return None
    every = pl.int_range(changed.height, eager=True).repeat_by(changed.get_column("weight")).explode()
    return changed[every].select(ACTIVITY_SCHEMA.names()) if changed.height else pl.DataFrame(schema=ACTIVITY_SCHEMA)


def _weigh(kind: RawKind, paths: Sequence[str]) -> pl.DataFrame:
    """Different rows, and how often there is each; of visits the sum of their signs."""
    frames = [pl.DataFrame(schema=SCHEMAS[kind]), *frames_of(kind, paths)]
    key = [name for name in SCHEMAS[kind].names() if name != "sign"]
    weight = pl.col("sign").cast(pl.Int64).sum() if kind is RawKind.VISIT else pl.len().cast(pl.Int64)
    return pl.concat(frames).group_by(key).agg(weight=weight)


@cache
def _sources(settings: Settings) -> RawSources:
    return RawSources(settings)
