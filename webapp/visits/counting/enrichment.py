"""What a row counts as: its page, referrer, channel and visitor's number. Pure functions.

Everything is worked out once for each different text of a batch.
"""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from webapp.lib.keys import fold_key
from webapp.visits.addresses import host_of, page_of
from webapp.visits.counting.channels import channel_of
from webapp.visits.raw.frames import ATTRIBUTES

NUMBER_BYTES = 8
SEPARATOR = "\x1f"
TEXT_LIMIT = 300
"""Characters of a value that is counted by itself: an index cannot hold very long ones."""
CAMPAIGN = ("utm_source", "utm_medium", "utm_campaign", "click_id")
WEBSITE = "^[^/?#]+://[^/?#]*"
PAGE = "^https?://[a-z0-9.:-]+/"
USUAL_PORT = "^(https://[^/]*:443|http://[^/]*:80)/"
BOUNDED = (*[name for name in ATTRIBUTES if name not in {"referrer", "channel"}], "name")


def enrich(rows: pl.DataFrame) -> pl.DataFrame:
    """One organisation's rows with `page`, `referrer` (host), `channel` and `visitor` (number);
    `identifier` is what the site calls the visitor, `at` the time."""
    bounded = [pl.col(name).str.slice(0, TEXT_LIMIT).str.replace_all(SEPARATOR, " ", literal=True) for name in BOUNDED]
    rows = rows.rename({"visitor": "identifier"}).with_columns(bounded)
    return _with_visitors(_with_channels(_with_referrers(_with_pages(rows))))


def _with_pages(rows: pl.DataFrame) -> pl.DataFrame:
    """The page and the website's `host`. Most addresses are written as pages already."""
    url = pl.col("page_url")
    urls = rows.select(url.unique()).with_columns(website=url.str.extract(WEBSITE, 0).fill_null(""))
    websites = urls.get_column("website").unique()
    hosts = pl.Series("host", [host_of(website) for website in websites], pl.String)
    urls = urls.join(pl.DataFrame([websites, hosts]), on="website", how="left")
    others = urls.filter(~url.str.contains(PAGE) | url.str.contains(USUAL_PORT)).get_column("page_url")
    pages = pl.Series("page", [page_of(other) for other in others], pl.String)
    urls = urls.join(pl.DataFrame([others, pages]), on="page_url", how="left")
    known = urls.select(url, "host", page=pl.coalesce("page", "page_url"))
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
    """The number by which raw rows know a site's visitor. An address is the same however it is written."""
    if "@" in identifier:
        identifier = fold_key(identifier.strip())
    digest = blake2b(site_id + identifier.encode(), digest_size=NUMBER_BYTES).digest()
    return int.from_bytes(digest, "big", signed=True)
