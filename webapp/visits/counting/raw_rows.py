"""A site's raw rows, a few files at a time, for counting them again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

import polars as pl
from flask import current_app

from webapp.config import Settings
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, VISIT_SCHEMA
from webapp.visits.raw.sources import RawSources

ROWS_AT_ONCE = 1_000_000
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
SCHEMAS = {RawKind.ACTIVITY: ACTIVITY_SCHEMA, RawKind.VISIT: VISIT_SCHEMA}


def read_raw_rows(organisation_id: UUID, site_id: UUID) -> dict[RawKind, list[str]]:
    """Local files with all of a site's raw rows, as they are in one moment."""
    settings: Settings = current_app.extensions["settings"]
    found = _sources(settings).read(organisation_id, [site_id], dict.fromkeys(RawKind, ALWAYS))
    return {kind: list(rows.paths) for kind, rows in found.items()}


def frames_of(kind: RawKind, paths: list[str]) -> Iterator[pl.DataFrame]:
    """The rows of these files, so many at a time that they fit into memory."""
    kept: list[pl.DataFrame] = []
    for path in paths:
        kept.append(pl.read_parquet(path).select(SCHEMAS[kind].names()))
        if sum(frame.height for frame in kept) >= ROWS_AT_ONCE:
            yield pl.concat(kept)
            kept = []
    if kept:
        yield pl.concat(kept)


@cache
def _sources(settings: Settings) -> RawSources:
    return RawSources(settings)
