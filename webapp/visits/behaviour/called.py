"""Visitors whom a site calls by people's addresses, without that anybody was ever named: their numbers, and whose."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from uuid import UUID

import numpy
import polars as pl
from sqlalchemy import text

from webapp.extensions import db
from webapp.visits.counting.enrichment import NUMBER_BYTES

CALLED = pl.Schema({"visitor": pl.Int64(), "identity": pl.String()})
MOST = 2_000_000
"""A number takes a microsecond; of more addresses and sites only those who were named are looked at."""


def list_called(organisation_id: UUID, site_ids: Sequence[UUID]) -> pl.DataFrame:
    """The numbers that all known addresses have on these sites, whether or not anybody was called so on each."""
    if count_called(organisation_id) * len(site_ids) > MOST:
        return pl.DataFrame(schema=CALLED)
    found = db.session.scalar(text(ADDRESSES), {"organisation_id": organisation_id})
    keys = found.split("\n") if found else []
    return pl.concat([pl.DataFrame(schema=CALLED), *(_numbered(site_id, keys) for site_id in site_ids)])


def count_called(organisation_id: UUID) -> int:
    """How many addresses the sites ever called a visitor by."""
    return int(db.session.scalar(text(COUNT), {"organisation_id": organisation_id}) or 0)


def _numbered(site_id: UUID, keys: Sequence[str]) -> pl.DataFrame:
    """As `visitor_number` says, for keys that are folded."""
    begun = blake2b(site_id.bytes, digest_size=NUMBER_BYTES)
    digests = bytearray()
    for key in keys:
        one = begun.copy()
        one.update(key.encode())
        digests += one.digest()
    numbers = numpy.frombuffer(bytes(digests), ">i8").astype(numpy.int64)
    return pl.DataFrame({"visitor": numbers, "identity": keys}, schema=CALLED)


COUNT = "SELECT visitor_count FROM known_visitor_counts WHERE organisation_id = :organisation_id AND kind = 'email'"
# As one value, since rows take longer than numbers; an address that is known has no white space.
ADDRESSES = """
    SELECT string_agg(visitor_key, E'\\n') FROM known_visitors
    WHERE organisation_id = :organisation_id AND strpos(visitor_key, '@') > 0
"""
