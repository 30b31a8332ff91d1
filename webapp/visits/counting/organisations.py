"""Counting one organisation's rows: ids not seen before, drops, visits, raw rows, roll-ups, known visitors."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.lib.clock import utc_now
from webapp.lib.zones import UTC_NAME, usable_zone
from webapp.visits.backlog import Kind
from webapp.visits.counting import statements
from webapp.visits.counting.aside import Aside
from webapp.visits.counting.batch import Part
from webapp.visits.counting.erased import without_erased_names
from webapp.visits.counting.identities import link_identities
from webapp.visits.counting.roll_ups import Batch, add_to_roll_ups
from webapp.visits.counting.seen import keep_unseen
from webapp.visits.counting.stitching import Stitched, stitch
from webapp.visits.counting.visit_store import find_visits, visit_rows, write_visits
from webapp.visits.known_visitors import add_known_visitors
from webapp.visits.models import RawKind
from webapp.visits.raw.chunks import encode_chunks, insert_chunks, take_small
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, VISIT_SCHEMA

logger = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]


def count_for_organisation(connection: Connection, part: Part) -> tuple[int, int]:
    """Count one organisation's rows, each id once for ever; how many rows, and pageviews, were new."""
    tenant, rows, activity = UUID(bytes=part.organisation_id), part.rows, part.activity
    statements.set_tenant(connection, tenant)
    fresh = keep_unseen(connection, tenant, rows)
    row_count, fresh = fresh.height, _of_known_sites(connection, tenant, fresh)
    if fresh.is_empty():
        return row_count, 0
    _add_drops(connection, tenant, fresh.filter(pl.col("kind") == Kind.DROPPED))
    link_identities(connection, tenant, fresh.filter(pl.col("kind") == Kind.IDENTIFY))
    if fresh.height < rows.height:
        activity = activity.join(fresh.select("id"), on="id", how="semi", maintain_order="left")
    if not activity.is_empty():
        _count_activity(connection, tenant, without_erased_names(connection, tenant, activity))
    return row_count, fresh.filter(pl.col("kind") == Kind.PAGEVIEW).height


def _of_known_sites(connection: Connection, tenant: UUID, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of sites that there are: one that was removed for good may have been in the stream still."""
    ids = rows.get_column("site_id").unique().to_list()
    found = connection.execute(statements.KNOWN_SITES, [tenant, [UUID(bytes=site_id) for site_id in ids]]).fetchall()
    if len(found) == len(ids):
        return rows
    known = rows.filter(pl.col("site_id").is_in([site_id.bytes for (site_id,) in found]))
    logger.warning("%s beacons of sites of organisation %s that are gone.", rows.height - known.height, tenant)
    return known


def _add_drops(connection: Connection, tenant: UUID, drops: pl.DataFrame) -> None:
    """A row of drops says why in `name`, and how many in `engaged_ms`."""
    if drops.is_empty():
        return
    day = pl.from_epoch("visited_ms", time_unit="ms").dt.date()
    sums = drops.group_by("site_id", day.alias("day"), reason=pl.col("name").str.slice(0, 64)).agg(
        count=pl.col("engaged_ms").sum()
    )
    sums = sums.sort("site_id", "day", "reason")
    sites = [UUID(bytes=site_id) for site_id in sums.get_column("site_id")]
    columns = [sums.get_column(name).to_list() for name in ("day", "reason", "count")]
    connection.execute(statements.ADD_TO_DROPS, [tenant, sites, *columns])


def _count_activity(connection: Connection, tenant: UUID, activity: pl.DataFrame) -> None:
    sites, zones = _get_sites(connection, tenant, activity)
    rows = activity.join(sites, on="site_id", maintain_order="left")
    stitched = stitch(rows, find_visits(connection, tenant, rows, sites))
    with Aside() as aside:
        aside.do(write_visits, connection, tenant, visit_rows(stitched.written, stitched.removed, sites))
        raw = _by_site(stitched, sites)
        small = {kind: aside.do(take_small, connection, tenant, kind, frames) for kind, frames in raw.items()}
        add_to_roll_ups(aside, connection, Batch(tenant, stitched.rows, stitched.changes, sites, zones))
        for kind, frames in raw.items():
            chunks = encode_chunks(kind, frames, small[kind].result())
            aside.do(insert_chunks, connection, tenant, kind, chunks)
        aside.do(add_known_visitors, connection, tenant, rows.filter(pl.col("kind") == Kind.PAGEVIEW))


def _by_site(stitched: Stitched, sites: pl.DataFrame) -> dict[RawKind, dict[UUID, pl.DataFrame]]:
    """Raw rows of each kind that there are any of, site by site."""
    ids = {site: UUID(bytes=site_id) for site, site_id in sites.iter_rows()}
    frames = {
        kind: frame.select("site", *[pl.col(name).cast(to) for name, to in schema.items()])
        for kind, frame, schema in (
            (RawKind.ACTIVITY, stitched.rows, ACTIVITY_SCHEMA),
            (RawKind.VISIT, stitched.changes, VISIT_SCHEMA),
        )
    }
    parts = {kind: frame.partition_by("site", as_dict=True, include_key=False) for kind, frame in frames.items()}
    return {kind: {ids[site]: part for (site,), part in found.items()} for kind, found in parts.items() if found}


def _get_sites(connection: Connection, tenant: UUID, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, str]]:
    """A number for each site of the batch, and the zone in which its days are cut; a new site's is cut from now on.

    A zone that this machine lacks holds up nobody: that site goes on in UTC, and is counted again as a whole.
    """
    ids = sorted(rows.get_column("site_id").unique())
    found = connection.execute(
        statements.SITE_ZONES, {"tenant": tenant, "sites": [UUID(bytes=site_id) for site_id in ids]}
    ).fetchall()
    by_site = {site_id.bytes: usable_zone(zone) for site_id, zone in found}
    lacking = [site_id for site_id, zone in found if by_site[site_id.bytes] != zone]
    if lacking:
        logger.error("The time zones of sites %s are not known here; their days are UTC's.", sorted(map(str, lacking)))
        connection.execute(statements.GO_ON_IN_UTC, [UTC_NAME, utc_now(), tenant, lacking])
    frame = pl.DataFrame({"site": range(len(ids)), "site_id": ids}, schema={"site": pl.UInt32, "site_id": pl.Binary})
    return frame, {number: by_site.get(site_id, UTC_NAME) for number, site_id in enumerate(ids)}
