"""Counting again, plainly: from what was sent, and from what lies in raw rows, to compare with the roll-ups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
import psycopg

from tests.visits.counting.reference import count_countries, count_pages, count_sites
from webapp.config import Settings
from webapp.lib.keys import fold_key
from webapp.lib.storage import storage_at
from webapp.visits.backlog import Kind, Row
from webapp.visits.buckets import day_of, month_of
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.counting.sketches import count_visitors
from webapp.visits.models import RawKind, Site
from webapp.visits.raw.frames import PLACE, SOURCE, decode
from webapp.visits.raw.models import sealed_key

Connection = psycopg.Connection[Any]
Counts = dict[tuple[Any, ...], tuple[int, ...]]
Part = tuple[pl.DataFrame, list[str], dict[int, pl.Expr]]
"""Rows, what they are grouped by, and what is added up at which place of the numbers."""
SITE_COLUMNS = "pageview_count, visit_count, bounce_count, visit_ms, event_count, engaged_ms"
PAGE_COLUMNS = "pageview_count, entry_count, exit_count, bounce_count, engaged_ms, scroll_sum, scroll_count"
VALUE_COLUMNS = "pageview_count, visit_count, bounce_count, visit_ms, event_count"
KNOWN = {"channel", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"}
"""Dimensions of which '' is no value."""
TOLD = ("kind", "page", "name", "props", "engaged_ms", "scroll")
LONGEST_WAY_MS = 20_000
"""A tracker gives a try up after so long."""
STARTERS = [int(Kind.PAGEVIEW), int(Kind.EVENT), int(Kind.PRODUCT)]


def rolled_up(connection: Connection, site: Site, key: str, rest: str) -> Counts:
    """Rows of a table by grain, bucket and key, as far as they count anything."""
    at = "(extract(epoch FROM bucket_at) * 1000)::bigint"
    table, _, condition = rest.partition(" WHERE ")
    where = f"site_id = %s AND {condition}" if condition else "site_id = %s"
    found = connection.execute(f"SELECT grain, {at}, {key}{table} WHERE {where}", [site.id]).fetchall()
    width = 2 + key.count(",")
    return {tuple(row[:width]): tuple(row[width:]) for row in found if any(row[width:])}


def sites_counted(connection: Connection, site: Site) -> Counts:
    return rolled_up(connection, site, "", f"{SITE_COLUMNS} FROM site_roll_ups")


def pages_counted(connection: Connection, site: Site) -> Counts:
    pages = "page_roll_ups r JOIN pages p ON p.organisation_id = r.organisation_id AND p.id = r.page_id"
    return rolled_up(connection, site, "url, ", f"{PAGE_COLUMNS} FROM {pages}")


def values_counted(connection: Connection, site: Site, dimension: str) -> Counts:
    values = f"{VALUE_COLUMNS} FROM dimension_roll_ups WHERE dimension = '{dimension}'"
    return rolled_up(connection, site, "value, ", values)


def assert_counts_what_was_sent(connection: Connection, site: Site, rows: list[Row]) -> None:
    """Roll-ups by site, page, country, event, property and product; who is known, and who said who they are."""
    zone = site.time_zone
    activity = [row for row in rows if row.kind != Kind.IDENTIFY]
    assert_same(sites_counted(connection, site), count_sites(activity, zone), f"{zone}: sites")
    assert_same(pages_counted(connection, site), count_pages(activity, zone), f"{zone}: pages")
    assert_same(values_counted(connection, site, "country"), count_countries(activity, zone), f"{zone}: countries")
    for dimension, named in _named(activity, zone).items():
        found = {key: numbers[-1] for key, numbers in values_counted(connection, site, dimension).items()}
        assert_same(found, dict(named), f"{zone}: {dimension}")
    assert_same(_identities(connection, site), _who_is_who(rows), f"{zone}: identities")


def assert_same(found: dict[Any, Any], expected: dict[Any, Any], what: str) -> None:
    """Say where two counts differ, not all that they hold."""
    differing = {key: (found.get(key), expected.get(key)) for key in {*found, *expected}}
    differing = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
    assert not differing, f"{what}: {len(differing)} of {len(expected)} differ, {list(differing.items())[:5]}"


def _named(rows: Iterable[Row], zone: str) -> dict[str, Counter[tuple[Any, ...]]]:
    counts: dict[str, Counter[tuple[Any, ...]]] = {"event": Counter(), "property": Counter(), "product": Counter()}
    for row in rows:
        buckets = [("day", day_of(zone, row.visited_ms)), ("month", month_of(zone, row.visited_ms))]
        for bucket in buckets:
            if row.kind == Kind.PRODUCT:
                counts["product"][(*bucket, row.name)] += 1
            if row.kind == Kind.EVENT:
                counts["event"][(*bucket, row.name)] += 1
                for key, value in msgspec.json.decode(row.props).items():
                    counts["property"][(*bucket, f"{row.name}\x1f{key}\x1f{value}")] += 1
    return counts


def _identities(connection: Connection, site: Site) -> dict[int, str]:
    return dict(connection.execute("SELECT visitor, identity FROM identities WHERE site_id = %s", [site.id]).fetchall())


def _who_is_who(rows: Iterable[Row]) -> dict[int, str]:
    """What was named first wins."""
    named = sorted((row for row in rows if row.kind == Kind.IDENTIFY), key=lambda row: (row.visited_ms, row.name))
    found: dict[int, str] = {}
    for row in named:
        found.setdefault(visitor_number(row.site_id, row.visitor), fold_key(row.name))
    return found


def read_raw(settings: Settings, connection: Connection, site: Site) -> dict[RawKind, pl.DataFrame]:
    """All raw rows of a site, out of chunks and sealed files."""
    storage = storage_at(settings.uploads_url)
    return {kind: pl.concat(list(_frames(storage, connection, site, kind))) for kind in RawKind}


def _frames(storage: Any, connection: Connection, site: Site, kind: RawKind) -> Iterable[pl.DataFrame]:
    own = [site.id, kind.value]
    chunks = connection.execute("SELECT content FROM raw_chunks WHERE site_id = %s AND kind = %s", own)
    frames = [decode(content) for (content,) in chunks]
    files = "SELECT id, month FROM sealed_files WHERE site_id = %s AND kind = %s AND state = 'sealed'"
    for file_id, month in connection.execute(files, own):
        key = sealed_key(site.organisation_id, site.id, month, file_id)
        frames.append(decode(b"".join(storage.stream(key))))
    columns = frames[0].schema
    return [frame.select(columns.names()).cast(columns) for frame in frames]


def assert_browser_is_right(settings: Settings, connection: Connection, site: Site, rows: list[Row]) -> None:
    """What a tracker made is there, each once, and counts in the buckets of its moments.

    These are the server's, reckoned by the age that the tracker told: later than the browser's by the way to the edge.
    """
    kept = read_raw(settings, connection, site)[RawKind.ACTIVITY]
    found = sorted(kept.select(*TOLD, "visited_ms").iter_rows())
    made = sorted(rows, key=lambda row: (*_told(row), row.visited_ms))
    assert [row[:-1] for row in found] == [_told(row) for row in made]
    late = [row[-1] - sent.visited_ms for row, sent in zip(found, made, strict=True)]
    assert 0 <= min(late) <= max(late) <= LONGEST_WAY_MS, f"reckoned wrongly: {min(late)} to {max(late)} ms"
    counted = [msgspec.structs.replace(sent, visited_ms=row[-1]) for row, sent in zip(found, made, strict=True)]
    assert_counts_what_was_sent(connection, site, counted)


def _told(row: Row) -> tuple[Any, ...]:
    return row.kind, row.page_url, row.name, row.props, row.engaged_ms, row.scroll


def assert_raw_rows_say_the_same(
    settings: Settings, connection: Connection, site: Site, complete_from: datetime | None = None
) -> None:
    """Raw rows, by every bucket, page and dimension, and the visitors of each bucket."""
    raw = {kind: _with_buckets(frame, site.time_zone) for kind, frame in read_raw(settings, connection, site).items()}
    since = int((complete_from or datetime(1970, 1, 1, tzinfo=UTC)).timestamp() * 1000)
    activity, visits = (raw[kind] for kind in RawKind)
    pairs = {
        "sites": (sites_counted(connection, site), _sites(activity, visits)),
        "pages": (pages_counted(connection, site), _pages(activity, visits)),
        "visitors": (_sketches(connection, site), _visitors(activity)),
        **{
            name: (values_counted(connection, site, name), _values(activity, visits, name))
            for name in (*SOURCE, *PLACE)
        },
    }
    for name, (found, expected) in pairs.items():
        assert_same(_since(found, since), _since(expected, since), f"{site.time_zone}: {name}")


def raw_sites(raw: dict[RawKind, pl.DataFrame], zone: str) -> Counts:
    """What raw rows say of a site's buckets."""
    activity, visits = (_with_buckets(raw[kind], zone) for kind in RawKind)
    return _sites(activity, visits)


def _since(counts: Counts, since: int) -> Counts:
    return {key: numbers for key, numbers in counts.items() if key[1] >= since}


def _with_buckets(frame: pl.DataFrame, zone: str) -> pl.DataFrame:
    time = "visited_ms" if "visited_ms" in frame.columns else "started_ms"
    starts = {
        ms: datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
        for ms in (frame.get_column(time) // 900_000 * 900_000).unique()
    }
    known = pl.DataFrame(
        {
            "quarter": list(starts),
            "day": [int(at.timestamp()) * 1000 for at in starts.values()],
            "month": [int(at.replace(day=1).timestamp()) * 1000 for at in starts.values()],
        },
        schema=dict.fromkeys(("quarter", "day", "month"), pl.Int64),
    )
    return frame.with_columns(quarter=pl.col(time) // 900_000 * 900_000).join(known, on="quarter")


def _gather(parts: Iterable[Part], width: int, grains: list[str]) -> Counts:
    """Sums by grain, bucket and key; each part adds its expressions at their places."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for frame, key, expressions in parts:
        for grain in grains:
            named = {f"n{place}": expression for place, expression in expressions.items()}
            for row in frame.group_by(grain, *key).agg(**named).iter_rows():
                numbers = sums.setdefault((grain, *row[: 1 + len(key)]), [0] * width)
                for place, value in zip(expressions, row[1 + len(key) :], strict=True):
                    numbers[place] += value
    return {key: tuple(numbers) for key, numbers in sums.items() if any(numbers)}


_IS = {kind: (pl.col("kind") == int(kind)).cast(pl.Int64).sum() for kind in Kind}
_OF_ENGAGEMENT = pl.col("kind") == int(Kind.ENGAGEMENT)
_SIGN = pl.col("sign").cast(pl.Int64)
_BOUNCES = (_SIGN * pl.col("is_bounce").cast(pl.Int64)).sum()
_DURATION = (_SIGN * pl.col("duration_ms")).sum()


def _sites(activity: pl.DataFrame, visits: pl.DataFrame) -> Counts:
    engaged = pl.col("engaged_ms").filter(_OF_ENGAGEMENT).sum()
    rows: Part = (activity, [], {0: _IS[Kind.PAGEVIEW], 4: _IS[Kind.EVENT], 5: engaged})
    return _gather([rows, (visits, [], {1: _SIGN.sum(), 2: _BOUNCES, 3: _DURATION})], 6, ["quarter", "day", "month"])


def _pages(activity: pl.DataFrame, visits: pl.DataFrame) -> Counts:
    scroll, engaged = (pl.col(name).filter(_OF_ENGAGEMENT).sum() for name in ("scroll", "engaged_ms"))
    rows = {0: _IS[Kind.PAGEVIEW], 4: engaged, 5: scroll, 6: _OF_ENGAGEMENT.cast(pl.Int64).sum()}
    changes = visits.filter(pl.col("sign") != 0)
    return _gather(
        [
            (activity, ["page"], rows),
            (changes, ["entry_page"], {1: _SIGN.sum(), 3: _BOUNCES}),
            (changes, ["exit_page"], {2: _SIGN.sum()}),
        ],
        7,
        ["day", "month"],
    )


def _values(activity: pl.DataFrame, visits: pl.DataFrame, name: str) -> Counts:
    visits = visits.filter(pl.col("sign") != 0)
    of_visits = {1: _SIGN.sum(), 2: _BOUNCES, 3: _DURATION}
    if name in SOURCE:
        theirs = {0: (_SIGN * pl.col("pageview_count")).sum(), 4: (_SIGN * pl.col("event_count")).sum()}
        parts: list[Part] = [(visits, [name], of_visits | theirs)]
    else:
        parts = [(activity, [name], {0: _IS[Kind.PAGEVIEW], 4: _IS[Kind.EVENT]}), (visits, [name], of_visits)]
    if name in KNOWN:
        parts = [(frame.filter(pl.col(name) != ""), key, expressions) for frame, key, expressions in parts]
    return _gather(parts, 5, ["day", "month"])


def _visitors(activity: pl.DataFrame) -> Counts:
    seen = activity.filter(pl.col("kind").is_in(STARTERS))
    return _gather([(seen, [], {0: pl.col("visitor").n_unique()})], 1, ["quarter", "day", "month"])


def _sketches(connection: Connection, site: Site) -> Counts:
    found = rolled_up(connection, site, "", "visitors FROM site_roll_ups")
    counts = {key: (count_visitors([sketch]),) for key, (sketch,) in found.items()}  # type: ignore[list-item]
    return {key: count for key, count in counts.items() if any(count)}
