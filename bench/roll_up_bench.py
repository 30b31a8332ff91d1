"""How many pageviews a second go from the stream into raw rows, visits and every roll-up, committed?

50 sites, 20,000 paths, four pageviews a visit, with countries, devices, referrers and campaigns as a busy installation
has them. The stream is filled first, then one worker counts it, as `roll_up` does. The reference of the same run is
PostgreSQL's COPY of the same rows into one plain table with a primary key and an index by site and time: what storing
them costs when nothing is counted.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import psycopg

from bench.support import empty_app, print_figures

SITES, PATHS, REFERRERS, PAGES_A_VISIT = 50, 20_000, 2_000, 4
GROUP = 500
SPAN_MS = 10 * 60 * 1000
PLAIN = """
    CREATE TABLE plain_pageviews (
        organisation_id uuid, site_id uuid, id uuid PRIMARY KEY, visited_ms bigint, visitor text, page_url text,
        referrer text, screen text, language text, country text, device text, browser text, system text
    );
    CREATE INDEX ON plain_pageviews (site_id, visited_ms)
"""
PLAIN_COLUMNS = (
    "organisation_id", "site_id", "id", "visited_ms", "visitor", "page_url", "referrer", "screen", "language",
    "country", "device", "browser", "system",
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Of one size."""

    rows_per_second: float
    reference_per_second: float


def make_columns(organisation_id: bytes, site_ids: list[bytes], count: int, seed: int) -> dict[str, list[Any]]:
    """Columns of the stream's rows, in the order of their times."""
    chance = np.random.default_rng(seed)
    visits = count // PAGES_A_VISIT
    per_visit = {
        "site": _zipf(chance, SITES, visits),
        "visitor": chance.integers(0, 1 << 60, visits),
        "referrer": np.where(chance.random(visits) < 0.5, _zipf(chance, REFERRERS, visits), -1),
        "campaign": np.where(chance.random(visits) < 0.1, chance.integers(0, 30, visits), -1),
        "kind": _zipf(chance, 60, visits),
    }
    begins = chance.integers(0, SPAN_MS, visits)
    visit = np.repeat(np.arange(visits), PAGES_A_VISIT)
    step = np.tile(np.arange(PAGES_A_VISIT), visits)
    at = begins[visit] + step * 15_000 + chance.integers(0, 10_000, visit.size)
    order = np.argsort(at, kind="stable")
    visit, step, at = visit[order], step[order], at[order] + int(time.time() * 1000) - SPAN_MS
    path = _zipf(chance, PATHS, visit.size)
    columns = _texts({name: values[visit] for name, values in per_visit.items()}, path, step)
    return {
        "organisation_id": [organisation_id] * visit.size,
        "site_id": [site_ids[site] for site in per_visit["site"][visit]],
        "id": [int(ms).to_bytes(6, "big") + b"\x70" + chance.bytes(9) for ms in at],
        "visited_ms": at.tolist(),
        "received_ms": at.tolist(),
        **columns,
    }


def _zipf(chance: np.random.Generator, size: int, count: int) -> np.ndarray[Any, Any]:
    weights = 1 / np.arange(1, size + 1)
    return chance.choice(size, count, p=weights / weights.sum())


def _texts(of: dict[str, Any], path: Any, step: Any) -> dict[str, list[Any]]:
    site, kind = of["site"].tolist(), of["kind"].tolist()
    paths = path.tolist()
    is_entry = (step == 0).tolist()
    referrers = [
        f"https://shop-{s}.example/" if not first else f"https://site-{r}.example/" if r >= 0 else ""
        for s, r, first in zip(site, of["referrer"].tolist(), is_entry, strict=True)
    ]
    campaigns = [f"campaign-{c}" if first and c >= 0 else "" for c, first in zip(of["campaign"], is_entry, strict=True)]
    return {
        "visitor": [f"{v >> 32:08x}-0c5f-4f0e-9d5b-{v & 0xFFFFFFFF:012x}" for v in of["visitor"].tolist()],
        "page_url": [f"https://shop-{s}.example/products/{p}" for s, p in zip(site, paths, strict=True)],
        "referrer": referrers,
        "screen": [("1920x1080", "390x844", "1536x864", "412x915")[k % 4] for k in kind],
        "kind": [0] * len(site),
        "language": [("en-gb", "de-de", "fr-fr", "es-es", "it-it")[k % 5] for k in kind],
        "country": [chr(65 + k % 26) + chr(65 + k // 26) for k in kind],
        "device": [("desktop", "mobile", "tablet")[k % 3] for k in kind],
        "browser": [("Chrome", "Safari", "Firefox", "Edge")[k % 4] for k in kind],
        "system": [("Windows", "iOS", "Android", "macOS", "Linux")[k % 5] for k in kind],
        "utm_source": ["letter" if c else "" for c in campaigns],
        "utm_medium": ["email" if c else "" for c in campaigns],
        "utm_campaign": campaigns,
        "utm_term": [""] * len(site),
        "utm_content": [""] * len(site),
        "click_id": [""] * len(site),
        "name": [""] * len(site),
        "props": [""] * len(site),
        "engaged_ms": [0] * len(site),
        "scroll": [0] * len(site),
    }


def fill_stream(client: Any, columns: dict[str, list[Any]]) -> None:
    from webapp.visits import backlog

    names = [field.name for field in msgspec.structs.fields(backlog.Row)]
    for start in range(0, len(columns["id"]), GROUP):
        group = [columns[name][start : start + GROUP] for name in names]
        backlog.add(client, [backlog.Row(*values) for values in zip(*group, strict=True)], 10**9)


def copy_plain(database_url: str, columns: dict[str, list[Any]]) -> float:
    """Seconds that COPY takes, its commit included; the text is made before."""
    buffer = io.StringIO()
    rows = zip(*(_as_text(columns[name]) for name in PLAIN_COLUMNS), strict=True)
    csv.writer(buffer).writerows(rows)
    content = buffer.getvalue().encode()
    with psycopg.connect(database_url) as connection:
        connection.execute(PLAIN)
        connection.commit()
        began = time.perf_counter()
        with connection.cursor().copy("COPY plain_pageviews FROM STDIN (FORMAT csv)") as copy:
            for start in range(0, len(content), 1 << 20):
                copy.write(content[start : start + (1 << 20)])
        connection.commit()
        seconds = time.perf_counter() - began
        connection.execute("DROP TABLE plain_pageviews")
    return seconds


def _as_text(values: list[Any]) -> list[Any]:
    return [value.hex() for value in values] if isinstance(values[0], bytes) else values


def measure(sizes: list[int]) -> dict[str, object]:
    from webapp.accounts.service import create_organisation
    from webapp.extensions import db, tenant
    from webapp.lib.redis import beacons_client
    from webapp.visits.service import create_site
    from webapp.visits.tasks import make_partitions, roll_up_until

    figures: dict[str, object] = {}
    with empty_app() as (app, settings, _), app.app_context(), beacons_client(settings) as client:
        make_partitions.fn()
        organisation = create_organisation("Bench", slug="bench", time_zone="Europe/Berlin")
        db.session.commit()
        with tenant(organisation.id):
            made = [create_site(organisation.id, f"S{n}", f"https://shop-{n}.example") for n in range(SITES)]
            db.session.commit()
            site_ids = [site.id.bytes for site in made]
        owner, batch = organisation.id.bytes, settings.roll_up_batch
        fill_stream(client, make_columns(owner, site_ids, 20_000, seed=1))
        roll_up_until(client, batch, float("inf"))
        for number, size in enumerate(sizes, start=2):
            columns = make_columns(owner, site_ids, size, seed=number)
            fill_stream(client, columns)
            before = _counted(settings.database_url)
            began = time.perf_counter()
            roll_up_until(client, batch, float("inf"))
            seconds = time.perf_counter() - began
            if _counted(settings.database_url) - before != size:
                raise SystemExit("Not all pageviews are counted.")
            reference = copy_plain(settings.database_url, columns)
            figures |= {
                f"{size:,}: pageviews/s": round(size / seconds),
                f"{size:,}: plain COPY, rows/s": round(size / reference),
                f"{size:,}: ratio to plain COPY": round(reference / seconds, 3),
            }
        figures |= _sizes(settings.database_url)
    return figures


def _counted(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        statement = "SELECT coalesce(sum(pageview_count), 0) FROM site_roll_ups WHERE grain = 'quarter'"
        row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _sizes(database_url: str) -> dict[str, object]:
    """What a pageview takes in each table, in bytes."""
    tables = ("raw_chunks", "visits", "seen", "site_roll_ups", "page_roll_ups", "dimension_roll_ups", "pages")
    size = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s::regclass)"
    with psycopg.connect(database_url) as connection:
        total = _counted(database_url)
        found = {table: connection.execute(size, [table]).fetchone() for table in tables}
        found |= {
            table: connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone()
            for table, row in found.items()
            if row is None or row[0] is None
        }
    return {"bytes a pageview": {table: round(int(row[0]) / total, 1) for table, row in found.items() if row}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200_000, 1_000_000])
    print_figures("roll_up", measure(parser.parse_args().sizes))


if __name__ == "__main__":
    main()
