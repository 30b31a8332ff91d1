"""How long does the server take for the visits page and for `GET /api/v1/visits` over 30 days of 10 million pageviews?

The pageviews are written straight into the tables by SQL (raw rows, and roll-ups added up from them with real
sketches), because what is measured is asking, not counting. The reference is the same answer by GROUP BY on the
raw rows, in the same run and on the same connection; both answers must be equal.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask
from flask.testing import FlaskClient

from bench.support import print_figures
from webapp.config import Settings, settings_from
from webapp.embedded.servers import running_servers
from webapp.lib.ids import uuid7

DAYS = 30
PAGES = 400
VISITORS = 200_000
CHUNK = 500_000
ORIGIN = "https://bench.example"
RUNS = 9
REFERENCE_RUNS = 3
RAW_SERIES = """
    SELECT p.url, date_trunc('day', v.visited_at, 'UTC') AS day, count(*)
    FROM pageviews v JOIN pages p ON p.organisation_id = v.organisation_id AND p.id = v.page_id
    WHERE v.organisation_id = %s AND v.visited_at >= %s AND v.visited_at < %s GROUP BY 1, 2
"""
RAW_PAGE = (
    """
    SELECT date_trunc('day', visited_at, 'UTC') AS day, count(*), count(DISTINCT visitor) FROM pageviews
    WHERE organisation_id = %s AND visited_at >= %s AND visited_at < %s GROUP BY 1
    """,
    """
    SELECT count(*), count(DISTINCT visitor) FROM pageviews
    WHERE organisation_id = %s AND visited_at >= %s AND visited_at < %s
    """,
    """
    SELECT page_id, count(*) FROM pageviews
    WHERE organisation_id = %s AND visited_at >= %s AND visited_at < %s GROUP BY 1 ORDER BY 2 DESC LIMIT 10
    """,
    """
    SELECT referrer, count(*) FROM pageviews
    WHERE organisation_id = %s AND visited_at >= %s AND visited_at < %s GROUP BY 1 ORDER BY 2 DESC LIMIT 10
    """,
)
INSERT_PAGEVIEWS = """
    INSERT INTO pageviews
        (organisation_id, visited_at, id, site_id, page_id, received_at, visitor, page_url, referrer, screen)
    SELECT %(organisation_id)s, at, gen_random_uuid(), %(site_id)s, p.id, at,
        'visitor-' || (random() * %(visitors)s)::int, p.url,
        (ARRAY['', 'https://www.google.com/', 'https://duckduckgo.com/'])[1 + (random() * 2)::int], '1920x1080'
    FROM (
        SELECT %(start)s::timestamptz + random() * %(span)s::interval AS at,
            1 + (power(random(), 2) * (%(pages)s - 1))::int AS number
        FROM generate_series(1, %(count)s)
    ) AS made
    JOIN page_numbers p USING (number)
"""
ROLL_UP_PAGES = """
    INSERT INTO page_roll_ups (organisation_id, site_id, grain, bucket_at, page_id, pageview_count)
    SELECT organisation_id, site_id, 'quarter', date_bin('15 minutes', visited_at, '2000-01-01 UTC'), page_id, count(*)
    FROM pageviews WHERE organisation_id = %s GROUP BY 1, 2, 4, 5
"""
ROLL_UP_REFERRERS = """
    INSERT INTO referrer_roll_ups (organisation_id, site_id, grain, bucket_at, referrer, pageview_count)
    SELECT organisation_id, site_id, 'quarter', date_bin('15 minutes', visited_at, '2000-01-01 UTC'),
        split_part(replace(referrer, 'www.', ''), '/', 3), count(*)
    FROM pageviews WHERE organisation_id = %s GROUP BY 1, 2, 4, 5
"""
VISITORS_BY_QUARTER = """
    SELECT site_id, date_bin('15 minutes', visited_at, '2000-01-01 UTC') AS quarter,
        count(*), array_agg(DISTINCT visitor)
    FROM pageviews WHERE organisation_id = %s AND visited_at >= %s AND visited_at < %s GROUP BY 1, 2
"""
INSERT_SITES = """
    INSERT INTO site_roll_ups (organisation_id, site_id, grain, bucket_at, pageview_count, page_count, visitors)
    VALUES (%s, %s, 'quarter', %s, %s, 0, %s)
"""


def load(settings: Settings, organisation_id: UUID, site_id: UUID, start: datetime, count: int) -> None:
    """Raw rows, then roll-ups from them, days and months cut by the code that cuts them after a change of zone."""
    from webapp.visits.cutting import cut_anew

    from webapp.visits.addresses import page_of

    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "SELECT footfall_make_partitions(%s, %s)", [start.date(), start.date() + timedelta(days=DAYS)]
        )
        connection.execute("CREATE TEMP TABLE page_numbers (number int, id uuid, url text)")
        pages = [page_of(f"{ORIGIN}/products/item-{number}") for number in range(1, PAGES + 1)]
        numbered = [(number, UUID(bytes=page_id), url) for number, (url, page_id) in enumerate(pages, 1)]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO page_numbers VALUES (%s, %s, %s)", numbered)
        connection.execute("INSERT INTO pages SELECT %s, id, url FROM page_numbers", [organisation_id])
        shared = {"organisation_id": organisation_id, "site_id": site_id, "visitors": VISITORS, "pages": PAGES}
        span = {"start": start, "span": timedelta(days=DAYS)}
        for done in range(0, count, CHUNK):
            connection.execute(INSERT_PAGEVIEWS, {**shared, **span, "count": min(CHUNK, count - done)})
            connection.commit()
            print(f"\r{done + CHUNK:,} pageviews", end="", flush=True)
        print("; adding them up …")
        connection.execute(ROLL_UP_PAGES, [organisation_id])
        connection.execute(ROLL_UP_REFERRERS, [organisation_id])
        _load_sketches(connection, organisation_id, start)
        cut_anew(connection, organisation_id, "UTC")
        connection.execute("INSERT INTO roll_up_zones VALUES (%s, 'UTC')", [organisation_id])
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _load_sketches(connection: psycopg.Connection[Any], organisation_id: UUID, start: datetime) -> None:
    from webapp.visits.sketches import sketch_of

    for day in range(DAYS):
        opens = start + timedelta(days=day)
        found = connection.execute(VISITORS_BY_QUARTER, [organisation_id, opens, opens + timedelta(days=1)]).fetchall()
        rows = [(organisation_id, site, quarter, count, sketch_of(names)) for site, quarter, count, names in found]
        with connection.cursor() as cursor:
            cursor.executemany(INSERT_SITES, rows)


def milliseconds(work: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Median and worst of so many runs, after one that warms up."""
    work()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), max(taken)


def measure(folder: Path, count: int) -> None:
    settings = settings_from({"DATA_DIR": str(folder / "var"), "DEMO": "0"})
    with running_servers(settings):
        from flask_migrate import upgrade

        from webapp.app import create_app

        app = create_app(settings)
        with app.app_context():
            upgrade()
        organisation_id, site_id, client, headers = _people(app)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = today - timedelta(days=DAYS)
        load(settings, organisation_id, site_id, start, count)
        last = (today - timedelta(days=1)).date().isoformat()
        page_url = f"/visits?range=custom&from={start.date()}&to={last}"
        api_url = f"/api/v1/visits?aggregation=day&dateFrom={start.date()}&dateTo={last}"
        page = milliseconds(lambda: _ok(client.get(page_url)), RUNS)
        api = milliseconds(lambda: _ok(client.get(api_url, headers=headers)), RUNS)
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            asked = [organisation_id, start, today]
            raw_page = milliseconds(lambda: [connection.execute(q, asked).fetchall() for q in RAW_PAGE], REFERENCE_RUNS)
            raw_api = milliseconds(lambda: connection.execute(RAW_SERIES, asked).fetchall(), REFERENCE_RUNS)
            _compare(
                client.get(api_url, headers=headers).get_json()["data"],
                connection.execute(RAW_SERIES, asked).fetchall(),
            )
            size = connection.execute(
                "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'pageviews'::regclass"
            ).fetchone()
    print_figures(
        "chart",
        {
            "pageviews": count,
            "pages": PAGES,
            "visits page, median / worst ms": f"{page[0]:.1f} / {page[1]:.1f}",
            "its numbers by GROUP BY on raw rows, ms": round(raw_page[0]),
            "visits page, times faster": round(raw_page[0] / page[0]),
            "GET /visits, median / worst ms": f"{api[0]:.1f} / {api[1]:.1f}",
            "the same by GROUP BY on raw rows, ms": round(raw_api[0]),
            "GET /visits, times faster": round(raw_api[0] / api[0]),
            "bytes a raw pageview": round(int(size[0]) / count) if size else None,
        },
    )  # fmt: skip


def _people(app: Flask) -> tuple[UUID, UUID, FlaskClient, dict[str, str]]:
    """An organisation with a site, somebody signed in, and an API key."""
    from webapp.accounts.models import Membership, Organisation, Role, User
    from webapp.accounts.service import create_api_key
    from webapp.extensions import db, tenant
    from webapp.visits.service import create_site

    with app.app_context():
        organisation = Organisation(id=uuid7(), slug="bench", name="Bench", time_zone="UTC")
        user = User(id=uuid7(), issuer="bench", subject="bench", email="bench@example.com", name="Bench")
        db.session.add_all([organisation, user])
        db.session.commit()
        with tenant(organisation.id):
            db.session.add(Membership(organisation_id=organisation.id, user_id=user.id, role=Role.OWNER))
            site = create_site(organisation.id, "Bench", ORIGIN)
            _, secret = create_api_key(organisation.id, "bench")
            db.session.commit()
            found = organisation.id, site.id
        client = app.test_client()
        with client.session_transaction() as session:
            session["_user_id"], session["_fresh"] = user.get_id(), True
    return *found, client, {"Authorization": f"Bearer {secret}"}


def _ok(response: Any) -> None:
    if response.status_code != 200:
        raise SystemExit(f"The server answered {response.status}: {response.text[:300]}")


def _compare(data: dict[str, list[dict[str, Any]]], raw: list[tuple[str, datetime, int]]) -> None:
    """Both ways to ask must say the same."""
    answered = {(url, point["timeframe"], point["visit_count"]) for url, points in data.items() for point in points}
    expected = {(url, f"{day.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", count) for url, day, count in raw}
    if answered != expected:
        raise SystemExit(f"The roll-ups say something else than the raw rows: {len(answered ^ expected)} differences.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pageviews", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        measure(Path(folder), arguments.pageviews)


if __name__ == "__main__":
    main()
