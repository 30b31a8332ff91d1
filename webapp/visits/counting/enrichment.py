"""What a row counts as: its page, referrer, channel and visitor's number. Pure functions.

Everything is worked out once for each different text of a batch.
"""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from webapp.visits.addresses import host_of, page_of
from webapp.visits.counting.channels import channel_of
from webapp.visits.raw.frames import ATTRIBUTES

SEPARATOR = "\x1f"
TEXT_LIMIT = 300
"""Characters of a value that is counted by itself: an index cannot hold very long ones."""
CAMPAIGN = ("utm_source", "utm_medium", "utm_campaign", "click_id")
BOUNDED = (*[name for name in ATTRIBUTES if name not in {"referrer", "channel"}], "name")


def enrich(rows: pl.DataFrame) -> pl.DataFrame:
    """One organisation's rows with `page`, `page_id`, `referrer` (host), `channel` and `visitor` (number);
    `identifier` is what the site calls the visitor, `at` the time."""
    bounded = [pl.col(name).str.slice(0, TEXT_LIMIT).str.replace_all(SEPARATOR, " ", literal=True) for name in BOUNDED]
    rows = rows.rename({"visitor": "identifier"}).with_columns(bounded)
    return _with_visitors(_with_channels(_with_referrers(_with_pages(rows))))


def _with_pages(rows: pl.DataFrame) -> pl.DataFrame:
    urls = rows.get_column("page_url").unique()
    pages = [page_of(url) for url in urls]
    known = pl.DataFrame(
        {
            "page_url": urls,
            "page": [page for page, _ in pages],
            "page_id": [page_id for _, page_id in pages],
            "host": [host_of(page) for page, _ in pages],
        },
        schema_overrides={"page": pl.String, "page_id": pl.Binary, "host": pl.String},
    )
    return rows.join(known, on="page_url", how="left", maintain_order="left")


def _with_referrers(rows: pl.DataFrame) -> pl.DataFrame:
    """The referrer's host; `is_own` where that is the site's."""
    urls = rows.get_column("referrer").unique()
    known = pl.DataFrame(
        {"referrer": urls, "referrer_host": [host_of(url) for url in urls]},
        schema_overrides={"referrer_host": pl.String},
    )
    rows = rows.join(known, on="referrer", how="left", maintain_order="left")
    is_own = (pl.col("referrer_host") != "") & (pl.col("referrer_host") == pl.col("host"))
    return rows.with_columns(
        is_own.alias("is_own"), pl.when(is_own).then(pl.lit("")).otherwise(pl.col("referrer_host")).alias("referrer")
    )


def _with_channels(rows: pl.DataFrame) -> pl.DataFrame:
    """The channel; none where the site itself led to the page and no campaign did."""
    key = ["referrer", "is_own", *CAMPAIGN]
    sources = rows.select(key).unique()
    channels = [
        "" if is_own and not any(campaign) else channel_of(referrer, *campaign)
        for referrer, is_own, *campaign in sources.iter_rows()
    ]
    known = sources.with_columns(pl.Series("channel", channels, pl.String))
    return rows.join(known, on=key, how="left", maintain_order="left")


def _with_visitors(rows: pl.DataFrame) -> pl.DataFrame:
    visitors = rows.select("site_id", "identifier").unique()
    numbers = [visitor_number(site_id, identifier) for site_id, identifier in visitors.iter_rows()]
    known = visitors.with_columns(pl.Series("visitor", numbers, pl.Int64))
    return rows.join(known, on=["site_id", "identifier"], how="left", maintain_order="left")


def visitor_number(site_id: bytes, identifier: str) -> int:
    """The number by which raw rows know a site's visitor."""
    digest = blake2b(site_id + identifier.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
