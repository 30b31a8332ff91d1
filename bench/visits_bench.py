"""How long do answers from raw rows take over 12 of 24 months, with any two filters?

Twice: for one of 50 sites, and for one single site with as many pageviews as the 50 together. The reference is the
same question as GROUP BY on raw rows in PostgreSQL, with an index on site and time, on one month of the single site:
its size is printed, for it grows with the rows while it reads them all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask

from bench.support import print_figures
from bench.visits_data import MONTHS, ORIGIN, Template, last_months, make_template, seconds_since, write_site
from webapp.config import Settings, settings_from
from webapp.embedded.servers import running_servers
from webapp.lib.ids import uuid7
from webapp.visits.models import RawKind
from webapp.visits.questions import Filter, Operator, Question

SITES = 50
RUNS = 2
REFERENCE_ROWS = 2_000_000
IS, IS_NOT, BEGINS = Operator.IS, Operator.IS_NOT, Operator.BEGINS
PAGE = f"{ORIGIN}/products/item-7"
PAIRS = (
    (Filter("country", IS, ("DE",)), Filter("device", IS, ("mobile",))),
    (Filter("browser", IS, ("Firefox",)), Filter("system", IS_NOT, ("Windows",))),
    (Filter("language", BEGINS, ("en",)), Filter("screen", IS, ("1080x1020",))),
    (Filter("page", IS, (PAGE,)), Filter("country", IS, ("US", "GB"))),
    (Filter("page", BEGINS, (f"{ORIGIN}/products/item-1",)), Filter("device", IS, ("desktop",))),
    (Filter("channel", IS, ("organic-search",)), Filter("device", IS, ("mobile",))),
    (Filter("referrer", IS, ("site-3.example",)), Filter("country", IS_NOT, ("US",))),
    (Filter("utm_campaign", IS, ("issue-7",)), Filter("country", IS, ("FR",))),
    (Filter("entry_page", IS, (PAGE,)), Filter("browser", IS, ("Chrome",))),
    (Filter("page", IS_NOT, (PAGE,)), Filter("country", IS_NOT, ("DE",))),
)
FUNNEL = tuple(Filter("page", IS, (f"{ORIGIN}/products/item-{number}",)) for number in (1, 2, 3))


@contextmanager
def fresh_app(folder: Path) -> Iterator[tuple[Flask, Settings, UUID]]:
    """The app on empty servers, and an organisation."""
    from flask_migrate import upgrade

    from webapp.accounts.models import Organisation
    from webapp.app import create_app
    from webapp.extensions import db

    settings = settings_from({"DATA_DIR": str(folder / "var"), "DEMO": "0"})
    with running_servers(settings):
        app = create_app(settings)
        with app.app_context():
            upgrade()
            organisation = Organisation(id=uuid7(), slug="bench", name="Bench", time_zone="UTC")
            db.session.add(organisation)
            db.session.commit()
            yield app, settings, organisation.id


def load(template: Template, settings: Settings, organisation_id: UUID, site_count: int) -> list[UUID]:
    """Sites with two years of the template each."""
    from webapp.extensions import db, tenant

    store = Path(settings.uploads_url.removeprefix("file://"))
    site_ids = [uuid7() for _ in range(site_count)]
    began = time.perf_counter()
    with tenant(organisation_id):
        for number, site_id in enumerate(site_ids):
            db.session.add_all(
                write_site(template, organisation_id, site_id, number, last_months(datetime.now(UTC).date()), store)
            )
            db.session.commit()
            print(f"\r{number + 1} of {site_count} sites, {seconds_since(began)}", end="", flush=True)
    print()
    return site_ids


def measure(organisation_id: UUID, site_id: UUID) -> dict[str, str]:
    """p95 in milliseconds of each kind of answer, over all pairs of filters."""
    from webapp.extensions import tenant
    from webapp.visits.raw import engine
    from webapp.visits.raw.flows import flow
    from webapp.visits.raw.journeys import funnel, retention_by_week

    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=365)
    edges = [start + timedelta(days=day) for day in range(366)]
    asks: dict[str, Callable[[Question], Any]] = {
        "totals": engine.totals,
        "points of 365 days": lambda question: engine.points(question, edges),
        "top 10 pages": lambda question: engine.breakdown(question, "page", 10),
        "top 10 countries": lambda question: engine.breakdown(question, "country", 10),
        "top 10 referrers": lambda question: engine.breakdown(question, "referrer", 10),
    }
    figures = {}
    plain = Question(organisation_id, (site_id,), start, end)
    weeks = [start + timedelta(days=7 * week) for week in range(13)]
    with tenant(organisation_id):
        for name, follow in (
            ("funnel of 3 steps", lambda: funnel(plain, FUNNEL)),
            ("journeys around a page", lambda: flow(plain, Filter("page", IS, (PAGE,)), 3, 10)),
            ("journeys from the entry", lambda: flow(plain, None, 3, 10)),
            ("12 weeks' retention", lambda: retention_by_week(replace(plain, end=weeks[-1]), weeks)),
        ):
            figures[name] = f"{milliseconds(follow)[-1]:.0f}"
            print(name, figures[name], flush=True)
        for name, ask in asks.items():
            taken = [
                (milliseconds(lambda: ask(Question(organisation_id, (site_id,), start, end, pair))), pair)  # noqa: B023
                for pair in PAIRS
            ]
            every = sorted(one for times, _ in taken for one in times)
            slowest = max(taken, key=lambda found: found[0][-1])[1]
            p95 = every[round(0.95 * (len(every) - 1))]
            named = " and ".join(wanted.field for wanted in slowest)
            figures[name] = f"p50 {statistics.median(every):.0f}, p95 {p95:.0f} (slowest: {named})"
            print(name, figures[name], flush=True)
    return figures


def milliseconds(work: Callable[[], Any], runs: int = RUNS) -> list[float]:
    """Sorted, after one that warms up."""
    taken = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken[1:])


def measure_postgres(template: Template, settings: Settings) -> dict[str, str]:
    """The first pair's totals in PostgreSQL, on part of the month."""
    found = template.database.execute(
        f"SELECT visited_ms, visitor, country, device, page FROM activity USING SAMPLE {REFERENCE_ROWS} ROWS"
    ).fetchall()
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE reference (at bigint, visitor bigint, country text, device text, page text)")
        with connection.cursor() as cursor, cursor.copy("COPY reference FROM STDIN") as copy:
            for row in found:
                copy.write_row(row)
        connection.execute("CREATE INDEX ON reference (at)")
        connection.execute("VACUUM ANALYZE reference")
        ask = "SELECT count(*), count(DISTINCT visitor) FROM reference WHERE country = 'DE' AND device = 'mobile'"
        taken = milliseconds(lambda: connection.execute(ask).fetchall())
    return {"PostgreSQL, totals of country and device": f"{statistics.median(taken):.0f} ms on {len(found):,} rows"}


def bytes_a_pageview(settings: Settings, site_ids: list[UUID]) -> str:
    with psycopg.connect(settings.database_url) as connection:
        rows = dict(
            connection.execute(
                "SELECT kind, (sum(byte_count), sum(row_count)) FROM sealed_files WHERE site_id = ANY(%s) GROUP BY 1",
                [site_ids],
            ).fetchall()
        )
    sizes = {kind: tuple(map(int, found)) for kind, found in rows.items()}
    pageviews = sizes[RawKind.ACTIVITY.value][1]
    total = sum(size for size, _ in sizes.values())
    return f"{total / pageviews:.1f} (activity {sizes['activity'][0] / pageviews:.1f}) of {pageviews:,} pageviews"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pageviews", type=int, default=10_000_000)
    parser.add_argument("--sites", type=int, nargs="*", default=[SITES, 1])
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"pageviews": arguments.pageviews, "months": MONTHS}
    with tempfile.TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with fresh_app(Path(folder)) as (_, settings, organisation_id):
            for site_count in arguments.sites:
                template = make_template(arguments.pageviews // site_count // MONTHS)
                site_ids = load(template, settings, organisation_id, site_count)
                of = f"1 of {site_count} sites"
                figures[f"{of}: bytes a pageview"] = bytes_a_pageview(settings, site_ids)
                found = measure(organisation_id, site_ids[0])
                figures |= {f"{of}: {name}, ms": text for name, text in found.items()}
            figures |= measure_postgres(template, settings)
    print_figures("visits", figures)


if __name__ == "__main__":
    main()
