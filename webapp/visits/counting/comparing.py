"""Comparing two counts of the same buckets. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl

from webapp.visits.models import Grain

SHOWN = {Grain.QUARTER.value: "%Y-%m-%d %H:%M UTC", Grain.DAY.value: "%Y-%m-%d", Grain.MONTH.value: "%Y-%m"}
NEVER = pl.lit(value=False)


@dataclass(frozen=True)
class BucketDifference:
    """A row of roll-ups that tells something else than what it is made of."""

    place: str
    told: str

    def __str__(self) -> str:
        return f"{self.place}: {self.told}"


@dataclass(frozen=True)
class Month:
    """A month of a site, in milliseconds; from `complete_ms` on there are all raw rows of each day."""

    tenant: UUID
    site_id: UUID
    zone: str
    start_ms: int
    end_ms: int
    complete_ms: int
    erased_days: tuple[int, ...]

    @property
    def bounds(self) -> list[object]:
        """As the parameters of a query."""
        return [self.tenant, self.site_id, self.start_ms, self.end_ms]

    @property
    def raw_from_ms(self) -> int:
        return max(self.start_ms, self.complete_ms)

    def named(self, grain: str, bucket: int) -> str:
        """A bucket as people call it: quarters by UTC's clock, days and months by the site's."""
        zone = UTC if grain == Grain.QUARTER.value else ZoneInfo(self.zone)
        return datetime.fromtimestamp(bucket / 1000, zone).strftime(SHOWN[grain])


def differing(
    counted: pl.DataFrame, expected: pl.DataFrame, key: list[str], counts: Sequence[str], lenient: pl.Expr = NEVER
) -> pl.DataFrame:
    """Rows that differ, with what was expected as `…_raw`; where it is lenient more may be counted, never less."""
    names = [*counts, *[f"{name}_raw" for name in counts]]
    both = counted.join(expected.select(*key, *counts), on=key, how="full", coalesce=True, suffix="_raw")
    both = both.with_columns(pl.col(names).fill_null(0))
    is_less = pl.any_horizontal(pl.col(name) < pl.col(f"{name}_raw") for name in counts)
    is_more = pl.any_horizontal(pl.col(name) > pl.col(f"{name}_raw") for name in counts)
    return both.filter(is_less | (is_more & ~lenient)).sort(key)


def together_where_crowded(
    frame: pl.DataFrame, crowded: pl.DataFrame, key: list[str], counts: Sequence[str], other: str
) -> pl.DataFrame:
    """Where some were counted together, since there were too many, only the sum can be compared."""
    value = key[-1]
    marked = frame.join(crowded.with_columns(is_crowded=pl.lit(value=True)), on=crowded.columns, how="left")
    name = pl.when(pl.col("is_crowded").is_not_null()).then(pl.lit(other)).otherwise(pl.col(value))
    return marked.with_columns(name.alias(value)).group_by(key).agg(pl.col(counts).sum())


def difference_of(place: str, row: dict[str, object], counts: Sequence[str], source: str) -> BucketDifference:
    """A row of `differing` in words."""
    told = [
        f"{name} {row[name]:,} counted, {row[f'{name}_raw']:,} {source}"
        for name in counts
        if row[name] != row[f"{name}_raw"]
    ]
    return BucketDifference(place, "; ".join(told))
