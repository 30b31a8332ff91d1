"""How long do a site's page, the API and single questions take with two years of visits, 12 months asked?

Twice: for one of 50 sites, and for one single site with as many pageviews as the 50 together. Page and API are asked
through the app, as a member and with an API key; nothing of an answer is kept from one request to the next unless it
says "again". The references are the same questions as GROUP BY on raw rows in PostgreSQL, with an index on site and
time: their number of rows is printed, for the time grows with the rows while it reads them all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask

from bench.support import print_figures
from bench.visits_data import MONTHS, ORIGIN, Template, last_months, make_template, seconds_since, write_site
from bench.visits_questions import Asker, milliseconds
from bench.visits_roll_ups import add_keys, add_roll_ups, drop_keys, make_roll_ups
from webapp.config import Settings, settings_from
from webapp.embedded.servers import running_servers
from webapp.lib.ids import uuid7

SITES = 50
REFERENCE_ROWS = 2_000_000


@contextmanager
def running_app(folder: Path) -> Iterator[tuple[Flask, Settings, UUID]]:
    """The app on servers of a folder, and an organisation."""
    from flask_migrate import upgrade

    from webapp.accounts.models import Organisation
    from webapp.app import create_app
    from webapp.extensions import db
    from webapp.settling import settle

    folder.chmod(0o755)  # for root, whose PostgreSQL runs as somebody else
    settings = settings_from({"DATA_DIR": str(folder / "var"), "DEMO": "0"})
    with running_servers(settings):
        app = create_app(settings)
        with app.app_context():
            upgrade()
            organisation = db.session.query(Organisation).filter_by(slug="bench").first()
            if organisation is None:
                organisation = Organisation(id=uuid7(), slug="bench", name="Bench", time_zone="UTC")
                db.session.add(organisation)
                db.session.commit()
            organisation_id = organisation.id
        settle(app)
        yield app, settings, organisation_id


def load(app: Flask, settings: Settings, organisation_id: UUID, site_count: int, template: Template) -> None:
    """Sites with two years of the template each."""
    from webapp.extensions import db, tenant
    from webapp.visits.service import create_site

    store = Path(settings.uploads_url.removeprefix("file://"))
    months = last_months(datetime.now(UTC).date())
    began = time.perf_counter()
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        drop_keys(connection)
        make_roll_ups(connection, template, organisation_id)
        for number in range(site_count):
            with app.app_context(), tenant(organisation_id):
                site = create_site(organisation_id, name_of(site_count, number), ORIGIN)
                site.cut_zone = "UTC"
                db.session.commit()
                db.session.add_all(write_site(template, organisation_id, site.id, number, months, store))
                is_measured = number == site_count - 1
                add_roll_ups(connection, organisation_id, site.id, months, is_measured=is_measured)
                db.session.commit()
            print(f"\r{number + 1} of {site_count} sites, {seconds_since(began)}", end="", flush=True)
        add_keys(connection)
        connection.execute("VACUUM ANALYZE sealed_files, pages")
    print(f"\nloaded and indexed in {seconds_since(began)}", flush=True)


def name_of(site_count: int, number: int) -> str:
    """How a site of the benchmark is called."""
    return f"{number + 1} of {site_count}"


def find_site_id(settings: Settings, site_count: int) -> UUID | None:
    """The site that is measured, of those that were loaded together."""
    wanted = "SELECT id FROM sites WHERE name = %s"
    with psycopg.connect(settings.database_url) as connection:
        found = connection.execute(wanted, [name_of(site_count, site_count - 1)]).fetchone()
    return found[0] if found else None


def measure_postgres(settings: Settings, template: Template) -> dict[str, str]:
    """The first pair's totals in PostgreSQL, on part of the month."""
    found = template.database.execute(
        f"SELECT visited_ms, visitor, country, device, page FROM activity USING SAMPLE {REFERENCE_ROWS} ROWS"
    ).fetchall()
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TEMP TABLE reference (at bigint, visitor bigint, country text, device text, page text)"
        )
        with connection.cursor() as cursor, cursor.copy("COPY reference FROM STDIN") as copy:
            for row in found:
                copy.write_row(row)
        connection.execute("CREATE INDEX ON reference (at)")
        connection.execute("VACUUM ANALYZE reference")
        ask = "SELECT count(*), count(DISTINCT visitor) FROM reference WHERE country = 'DE' AND device = 'mobile'"
        pages = "SELECT page, count(*) FROM reference GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
        return {
            f"PostgreSQL, {name}, {len(found):,} rows, ms": f"{milliseconds(lambda: connection.execute(text).fetchall())[1]:.0f}"  # noqa: B023, E501
            for name, text in (("totals of country and device", ask), ("top 10 pages without a filter", pages))
        }


def bytes_a_pageview(settings: Settings, site_count: int) -> str:
    """Of raw rows in sealed files."""
    with psycopg.connect(settings.database_url) as connection:
        statement = """
            SELECT kind, sum(byte_count), sum(row_count) FROM sealed_files f
            JOIN sites s ON s.id = f.site_id WHERE s.name LIKE %s GROUP BY 1
        """
        sizes = {row[0]: row[1:] for row in connection.execute(statement, [f"% of {site_count}"]).fetchall()}
    pageviews = int(sizes["activity"][1])
    total = sum(int(size) for size, _ in sizes.values())
    return f"{total / pageviews:.1f} (activity {sizes['activity'][0] / pageviews:.1f}) of {pageviews:,} pageviews"


def roll_up_bytes(settings: Settings) -> str:
    """Of all roll-ups with their indexes."""
    with psycopg.connect(settings.database_url) as connection:
        tables = ("site_roll_ups", "page_roll_ups", "dimension_roll_ups", "pages")
        sizes = [
            connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone() for table in tables
        ]
    return ", ".join(f"{table} {size[0] / 1e6:,.0f} MB" for table, size in zip(tables, sizes, strict=True) if size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pageviews", type=int, default=10_000_000)
    parser.add_argument("--sites", type=int, nargs="*", default=[SITES, 1])
    parser.add_argument("--folder", type=Path, help="where the data stay, to be loaded now and measured later")
    parser.add_argument("--load", action="store_true", help="only load")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        with running_app(folder) as (app, settings, organisation_id):
            run(arguments, app, settings, organisation_id)


def run(arguments: argparse.Namespace, app: Flask, settings: Settings, organisation_id: UUID) -> None:
    """Load what is not loaded, then measure."""
    figures: dict[str, Any] = {"pageviews": arguments.pageviews, "months": MONTHS}
    for site_count in arguments.sites:
        if find_site_id(settings, site_count) is None:
            template = make_template(arguments.pageviews // site_count // MONTHS)
            load(app, settings, organisation_id, site_count, template)
    if arguments.load:
        return
    for site_count in arguments.sites:
        of = f"1 of {site_count} sites"
        site_id = find_site_id(settings, site_count)
        assert site_id is not None
        figures[f"{of}: bytes a pageview"] = bytes_a_pageview(settings, site_count)
        found = Asker(app, organisation_id, site_id).measure()
        figures |= {f"{of}: {name}, ms": text for name, text in found.items()}
    figures["all roll-ups"] = roll_up_bytes(settings)
    figures |= measure_postgres(settings, make_template(min(arguments.pageviews // MONTHS, REFERENCE_ROWS * 2)))
    print_figures("visits", figures)


if __name__ == "__main__":
    main()
