"""The columns of raw rows, and chunks of them as bytes. Pure functions.

*Activity*: one row for each counted pageview, custom event, engagement and product view, with its own source:
`referrer` is '' for none and for the site itself, and `channel` is '' only where the site itself led to the page.
`visitor` counts as one unless it was engaged alone (`VISITOR_KINDS`).

*Visit*: signed changes. A visit that becomes another one is written as -1 of what it was and +1 of what it is, so
that sums (of sign, sign * duration_ms, sign * is_bounce, …) are right whatever comes late. Its source and device
are those of its entry. A bounce is a visit of one pageview and no event; a product view is in none of its counts: a
product's page tells it by itself.

Activity keeps the number that its visit had when it was counted. Where a visit went into another one, a row of sign 0,
which tells nothing else, says which: `joined` is the other's number there, and 0 in every other row.
"""

from __future__ import annotations

import io

import polars as pl

from webapp.visits.backlog import Kind
from webapp.visits.models import RawKind

SOURCE = ("referrer", "channel", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
PLACE = ("country", "language", "device", "browser", "system", "screen")
ATTRIBUTES = SOURCE + PLACE
"""What an activity row tells of itself, and a visit of its entry."""
TIME_COLUMNS = {RawKind.ACTIVITY: "visited_ms", RawKind.VISIT: "started_ms"}
"""When a row happened, in milliseconds since 1970."""
VISITOR_KINDS = (Kind.PAGEVIEW, Kind.EVENT, Kind.PRODUCT)
"""What starts or continues a visit and makes its doer a visitor; engagement only prolongs one."""

ACTIVITY_SCHEMA = pl.Schema(
    {
        "visited_ms": pl.Int64(),
        "kind": pl.UInt8(),
        "visitor": pl.Int64(),
        "visit": pl.Int64(),
        "is_entry": pl.Boolean(),
        "page": pl.String(),
        **{name: pl.String() for name in ATTRIBUTES},
        "name": pl.String(),
        "props": pl.String(),
        "engaged_ms": pl.Int64(),
        "scroll": pl.Int64(),
    }
)
VISIT_SCHEMA = pl.Schema(
    {
        "started_ms": pl.Int64(),
        "visitor": pl.Int64(),
        "visit": pl.Int64(),
        "sign": pl.Int8(),
        "joined": pl.Int64(),
        "duration_ms": pl.Int64(),
        "pageview_count": pl.Int64(),
        "event_count": pl.Int64(),
        "is_bounce": pl.Boolean(),
        "entry_page": pl.String(),
        "exit_page": pl.String(),
        **{name: pl.String() for name in ATTRIBUTES},
    }
)


def encode(frame: pl.DataFrame) -> bytes:
    """A chunk's bytes: Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3)
    return buffer.getvalue()


def decode(content: bytes) -> pl.DataFrame:
    """The rows of a chunk."""
    return pl.read_parquet(io.BytesIO(content))
