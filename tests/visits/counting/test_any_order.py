"""Whatever comes in which order and in which batches, counts as if it had come at once."""

from __future__ import annotations

import random
from datetime import timedelta

import polars as pl
import pytest
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Person
from tests.visits.counting.reference import (
    PlainVisit,
    count_countries,
    count_pages,
    count_sites,
    find_visits,
)
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, read_raw, rows_of, utc
from webapp.config import Settings
from webapp.visits.backlog import Kind, Row
from webapp.visits.counting.batch import frame_of_rows
from webapp.visits.counting.enrichment import enrich, visitor_number
from webapp.visits.counting.stitching import IDENTITY, IDLE_MS, KEPT_SCHEMA, stitch
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import VISIT_SCHEMA

SITE_ID, ORGANISATION_ID = b"s" * 16, b"o" * 16
START_MS = 1_790_000_000_000
KINDS = [Kind.PAGEVIEW, Kind.PAGEVIEW, Kind.EVENT, Kind.ENGAGEMENT, Kind.PRODUCT]
NIGHTS = {
    "Europe/Berlin": ["2026-03-29T00:00:00", "2026-10-25T00:00:00"],
    "America/New_York": ["2026-03-08T06:00:00", "2026-11-01T05:00:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00:00", "2026-10-03T15:00:00"],
    "Asia/Kathmandu": ["2026-03-31T18:15:00"],
}

row_strategy = st.builds(
    Row,
    organisation_id=st.just(ORGANISATION_ID),
    site_id=st.just(SITE_ID),
    id=st.uuids().map(lambda made: made.bytes),
    visited_ms=st.integers(0, 12).map(lambda step: START_MS + step * (IDLE_MS // 3)),
    received_ms=st.just(START_MS),
    visitor=st.sampled_from(["alice", "bob"]),
    page_url=st.sampled_from([f"{ORIGIN}/", f"{ORIGIN}/a"]),
    referrer=st.just(""),
    screen=st.just(""),
    kind=st.sampled_from([int(kind) for kind in KINDS]),
    country=st.sampled_from(["DE", "NP"]),
    engaged_ms=st.just(0),
)


@given(st.lists(row_strategy, min_size=1, max_size=40), st.randoms(use_true_random=False), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_visits_are_the_same_in_any_batches_and_order(rows: list[Row], chance: random.Random, batch: int) -> None:
    expected = sorted(map(repr, find_visits(rows)))
    chance.shuffle(rows)
    kept, changes = pl.DataFrame(schema=KEPT_SCHEMA), pl.DataFrame(schema={"site": pl.UInt32, **VISIT_SCHEMA})
    activity: list[tuple[int, int]] = []
    for start in range(0, len(rows), batch):
        enriched = enrich(frame_of_rows(rows[start : start + batch])).with_columns(site=pl.lit(0, pl.UInt32))
        stitched = stitch(enriched, kept)
        gone = pl.concat([stitched.removed, stitched.written.select(IDENTITY)])
        kept = pl.concat([kept.join(gone, on=IDENTITY, how="anti"), stitched.written])
        changes = pl.concat([changes, stitched.changes])
        activity += stitched.rows.select("visit", "kind").iter_rows()
    assert sorted(map(repr, net_visits(changes))) == expected
    assert pageviews_by_visit(activity, changes) == standing_visits(changes)


def pageviews_by_visit(activity: list[tuple[int, int]], changes: pl.DataFrame) -> dict[int, int]:
    """Pageviews by the number of the visit to which their rows lead, for those that stand."""
    joined = dict(changes.filter(pl.col("sign") == 0).select("visit", "joined").iter_rows())
    found = dict.fromkeys(standing_visits(changes), 0)
    for visit, kind in activity:
        while visit in joined:
            visit = joined[visit]
        assert visit in found or kind == Kind.ENGAGEMENT
        if kind == Kind.PAGEVIEW:
            found[visit] += 1
    return found


def standing_visits(changes: pl.DataFrame) -> dict[int, int]:
    """The pageviews of each visit that was not taken back, by its number."""
    sign = pl.col("sign").cast(pl.Int64)
    sums = changes.group_by("visit").agg(standing=sign.sum(), pageview_count=(sign * pl.col("pageview_count")).sum())
    return dict(sums.filter(pl.col("standing") > 0).select("visit", "pageview_count").iter_rows())


def net_visits(changes: pl.DataFrame) -> list[PlainVisit]:
    """What signed rows leave standing, whichever number each visit bears; takes back nothing that was not there."""
    names = {visitor_number(SITE_ID, name): name for name in ("alice", "bob")}
    columns = [name for name in VISIT_SCHEMA if name not in {"sign", "visit"}]
    numbered = changes.group_by([*columns, "visit"]).agg(pl.col("sign").cast(pl.Int64).sum())
    assert set(numbered.get_column("sign")) <= {0, 1}
    return [
        PlainVisit(
            visitor=names.get(row["visitor"], str(row["visitor"])),
            **{name: row[name] for name in PlainVisit.__dataclass_fields__ if name != "visitor"},
        )
        for row in numbered.filter(pl.col("sign") > 0).iter_rows(named=True)
    ]


@pytest.mark.parametrize("zone", NIGHTS)
def test_roll_ups_are_what_plain_counting_gives(app: APIFlask, alice: Person, services: Settings, zone: str) -> None:
    """Over the nights of clock changes, late beacons and joined visits included."""
    site = add_site(app, alice.organisation_id, time_zone=zone)
    chance, rows = random.Random(zone), []
    for night in NIGHTS[zone]:
        for _ in range(400):
            kind = chance.choice(KINDS)
            rows.append(
                make_row(
                    site,
                    utc(night) + timedelta(minutes=chance.randrange(-30 * 60, 30 * 60)),
                    visitor=f"visitor-{chance.randrange(30)}",
                    page_url=f"{ORIGIN}/{chance.randrange(4)}",
                    country=chance.choice(["DE", "NP", ""]),
                    kind=int(kind),
                    engaged_ms=chance.randrange(60_000) if kind is Kind.ENGAGEMENT else 0,
                    scroll=chance.randrange(100) if kind is Kind.ENGAGEMENT else 0,
                )
            )
    chance.shuffle(rows)
    add_rows(services, rows, group=37)
    count_all(app, services, batch=111)
    sites = "pageview_count, visit_count, bounce_count, visit_ms, event_count, engaged_ms FROM site_roll_ups"
    assert _counted(services, "", sites) == count_sites(rows, zone)
    pages = (
        "pageview_count, entry_count, exit_count, bounce_count, engaged_ms, scroll_sum, scroll_count"
        " FROM page_roll_ups r JOIN pages p ON p.id = r.page_id"
    )
    assert _counted(services, "url, ", pages) == count_pages(rows, zone)
    countries = (
        "pageview_count, visit_count, bounce_count, visit_ms, event_count"
        " FROM dimension_roll_ups WHERE dimension = 'country'"
    )
    assert _counted(services, "value, ", countries) == count_countries(rows, zone)
    raw = read_raw(services, RawKind.VISIT)
    assert raw.get_column("sign").sum() == len(find_visits(rows))


def _counted(settings: Settings, key: str, rest: str) -> dict[object, tuple[int, ...]]:
    """Rows by grain, bucket and key, as far as they count anything."""
    found = rows_of(settings, f"SELECT grain, (extract(epoch FROM bucket_at) * 1000)::bigint, {key}{rest}")
    width = 3 if key else 2
    return {row[:width]: row[width:] for row in found if any(row[width:])}
