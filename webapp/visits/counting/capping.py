"""How many pages and values a site's day counts one by one; the rest are "(other)". Pure functions.

Many different values, not many visits, are what slows a chart. A value that found no room on a day never gets any
later that day, so what is taken back from it is taken from where it was counted.
"""

from __future__ import annotations

import polars as pl

PAGE_LIMIT_A_DAY = 25_000
VALUE_LIMIT_A_DAY = 1_000
OTHER_VALUE = "(other)"


def new_values(tally: pl.DataFrame, known: pl.DataFrame, day: list[str], value: str, other: object) -> pl.DataFrame:
    """Values of each day, in their order, that the day has not counted yet."""
    values = tally.select(*day, value).unique(maintain_order=True).filter(pl.col(value) != pl.lit(other))
    return values.join(known, on=[*day, value], how="anti", maintain_order="left")


def crowded(new: pl.DataFrame, counts: pl.DataFrame, day: list[str], limit: int) -> pl.DataFrame:
    """Those of the new values for which their day has no room; `counts` says how many it has in `value_count`."""
    ranked = new.with_columns(place=pl.int_range(pl.len()).over(day))
    ranked = ranked.join(counts, on=day, how="left", maintain_order="left")
    room = limit - pl.col("value_count").fill_null(0)
    return ranked.filter(pl.col("place") >= room).select(new.columns)


def fold(tally: pl.DataFrame, crowd: pl.DataFrame, value: str, other: object, counts: tuple[str, ...]) -> pl.DataFrame:
    """The tally with what is counted of the crowd as "other"."""
    if crowd.is_empty():
        return tally
    key = [name for name in tally.columns if name not in counts]
    marked = tally.join(crowd.with_columns(is_crowd=pl.lit(value=True)), on=crowd.columns, how="left")
    folded = pl.when(pl.col("is_crowd").is_not_null()).then(pl.lit(other)).otherwise(pl.col(value))
    return marked.with_columns(folded.alias(value)).group_by(key, maintain_order=True).agg(pl.col(counts).sum())
