"""How long do lists of millions of products take in the order of their views, and pages about views?

Products are made by SQL in one organisation of several sizes; a fifth of them were viewed, and so were SKUs that are
no product. Each page is asked for whole, through the app, as the app's role under the row-level policy. The
reference of the same run is PostgreSQL joining and sorting all of them for the first page.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from bench.live_bench import percentile
from bench.records_bench import Bench, running
from bench.support import print_figures

SIZES = (100_000, 1_000_000)
CHUNK = 250_000
UNKNOWN = 30_000
SITES = 3
DAY_SKUS = 5_000

ADD_PRODUCTS = """
    INSERT INTO products (organisation_id, id, sku, sku_key, name, price, currency, is_active, tags, attributes,
                          created_at, updated_at)
    SELECT %(organisation_id)s, uuidv7(-(%(count)s - n) * interval '1 second'),
        'SKU-' || lpad((n * 104729 %% 999999937)::text, 9, '0'),
        'sku-' || lpad((n * 104729 %% 999999937)::text, 9, '0'),
        'Product ' || n, n %% 500 + 0.5, 'EUR', true,
        CASE WHEN n %% 2 = 0 THEN ARRAY['common'] ELSE ARRAY[]::text[] END, '{}', now(), now()
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
# A fifth of the products, a few viewed much and most a few times, as in any shop.
ADD_TOTALS = """
    INSERT INTO product_view_totals (organisation_id, sku_key, sku, view_count)
    SELECT organisation_id, sku_key, sku, 1 + (20000 / (1 + row_number() OVER (ORDER BY sku_key) %% 20011))
    FROM products WHERE organisation_id = %(organisation_id)s AND price::bigint %% 5 = 1
"""
ADD_UNKNOWN = """
    INSERT INTO product_view_totals (organisation_id, sku_key, sku, view_count)
    SELECT %(organisation_id)s, 'other-' || n, 'OTHER-' || n, 1 + (20000 / (1 + n %% 20011))
    FROM generate_series(1, %(unknown)s) AS n
"""
ADD_DAYS = """
    INSERT INTO product_view_days (organisation_id, site_id, day, sku_key, view_count)
    SELECT %(organisation_id)s, site_id, current_date - d, t.sku_key, 3
    FROM unnest(%(sites)s::uuid[]) AS site_id, generate_series(0, 364) AS d,
        (SELECT sku_key FROM product_view_totals WHERE organisation_id = %(organisation_id)s
         ORDER BY view_count DESC LIMIT %(skus)s) AS t
    WHERE d < 60 OR t.sku_key = (SELECT max(sku_key) FROM product_view_totals WHERE sku_key LIKE 'sku%%')
    ON CONFLICT DO NOTHING
"""
ADD_WINDOWS = """
    INSERT INTO product_view_windows (organisation_id, site_id, first_day)
    SELECT %(organisation_id)s, site_id, current_date - 29 FROM unnest(%(sites)s::uuid[]) AS site_id
"""
TABLES = "products, product_tags, product_view_totals, product_view_days, product_view_windows"
SORT_ALL = """
    SELECT p.id FROM products p LEFT JOIN product_view_totals t USING (organisation_id, sku_key)
    WHERE p.organisation_id = %s ORDER BY coalesce(t.view_count, 0) DESC, p.sku_key DESC LIMIT 51
"""


def fill(bench: Bench, sites: list[UUID], count: int) -> None:
    """Replace the products and their views by this many."""
    values = {
        "organisation_id": bench.organisation_id, "count": count, "unknown": UNKNOWN, "sites": sites, "skus": DAY_SKUS,
    }  # fmt: skip
    with bench.connect() as connection:
        connection.execute(f"TRUNCATE {TABLES}")
        for first in range(1, count + 1, CHUNK):
            connection.execute(ADD_PRODUCTS, {**values, "first": first, "last": min(count, first + CHUNK - 1)})
        for statement in (ADD_TOTALS, ADD_UNKNOWN, ADD_DAYS, ADD_WINDOWS):
            connection.execute(statement, values)
        connection.execute(f"VACUUM ANALYZE {TABLES}")


def questions(bench: Bench) -> dict[str, str]:
    """The addresses that are asked for, by what they are about."""
    from webapp.records.beside import Place

    asked: dict[str, dict[str, Any]] = {
        "newest (with the column)": {},
        "by views": {"sort": "views"},
        "by views, ascending": {"sort": "views", "direction": "asc"},
        "by views, middle": {"sort": "views", "cursor": Place(2, "sku-5").as_cursor()},
        "by views, among those without": {"sort": "views", "cursor": Place(0, "sku-5").as_cursor()},
        "views at least 1": {"where": "views:at_least:1"},
        "views at least 2, by views": {"where": "views:at_least:2", "sort": "views"},
        "views at least 5000": {"where": "views:at_least:5000"},
        "views at least 5000, by views": {"where": "views:at_least:5000", "sort": "views"},
        "no views": {"where": "views:is:0"},
        "no views, by views": {"where": "views:is:0", "sort": "views"},
        "tag, by views": {"tag": "common", "sort": "views"},
        "tag and views at least 10, by name": {"tag": "common", "where": "views:at_least:10", "sort": "name"},
        "q, by views": {"q": "product 12", "sort": "views"},
    }
    urls = {name: "/products?" + urlencode(arguments, doseq=True) for name, arguments in asked.items()}
    query = (
        "SELECT id FROM products WHERE sku_key = (SELECT max(sku_key) FROM product_view_totals WHERE sku LIKE 'SKU%')"
    )
    with bench.connect() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return {
        **urls,
        "a product's page, 90 days": f"/products/{row[0]}",
        "a product's page, 365 days": f"/products/{row[0]}?days=365",
        "unknown SKUs": "/products/unknown",
        "unknown SKUs, counted": "/products/unknown/count",
    }


def reference(bench: Bench) -> float:
    with bench.connect() as connection:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            connection.execute(SORT_ALL, [bench.organisation_id]).fetchall()
            times.append((time.perf_counter() - began) * 1000)
    return min(times)


def measure(bench: Bench, sites: list[UUID], count: int) -> dict[str, Any]:
    """p50 and p95 of each page, and the slowest."""
    fill(bench, sites, count)
    times = {name: bench.milliseconds(url) for name, url in questions(bench).items()}
    figures: dict[str, Any] = {"products": count}
    for name, some in times.items():
        figures[name] = f"p50 {statistics.median(some):.1f} ms, p95 {percentile(some, 0.95):.1f} ms"
    p95 = {name: percentile(some, 0.95) for name, some in times.items()}
    slowest = max(p95, key=lambda name: p95[name])
    figures["slowest p95 ms"] = f"{p95[slowest]:.1f} ({slowest})"
    figures["reference: all joined and sorted, ms"] = round(reference(bench), 1)
    return figures


def add_sites(bench: Bench) -> list[UUID]:
    from webapp.extensions import db, tenant
    from webapp.visits.service import create_site

    with bench.app.app_context(), tenant(bench.organisation_id):
        sites = [create_site(bench.organisation_id, f"S{n}", f"https://shop-{n}.example") for n in range(SITES)]
        db.session.commit()
        return [site.id for site in sites]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="how many products (several times for several sizes)")
    options = parser.parse_args()
    with running() as bench:
        sites = add_sites(bench)
        for count in options.rows or SIZES:
            print_figures("product_views", measure(bench, sites, count))


if __name__ == "__main__":
    main()
