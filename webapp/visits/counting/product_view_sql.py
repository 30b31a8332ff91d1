"""The statements of counted product views."""

from __future__ import annotations

WAIT_FOR_LOCK = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
# PostgreSQL refuses COPY into a table with a policy, so rows arrive in a table of this connection's own.
MAKE_STAGED = """
    CREATE TEMP TABLE IF NOT EXISTS staged_product_views (
        site_id uuid, day date, sku_key text COLLATE "C", sku text, view_count bigint
    ) ON COMMIT DELETE ROWS
"""
BEGIN_WINDOWS = """
    INSERT INTO product_view_windows (organisation_id, site_id, first_day)
    SELECT %s, w.* FROM unnest(%s::uuid[], %s::date[]) AS w (site_id, first_day) ON CONFLICT DO NOTHING
"""
SKU_COUNTS = """
    SELECT c.site_id, c.day, c.sku_count FROM product_view_day_counts c
    WHERE c.organisation_id = %s AND (c.site_id, c.day) IN (SELECT * FROM unnest(%s::uuid[], %s::date[]))
"""
# One index look-up for each, whatever the planner thinks of the sizes.
KNOWN_SKUS = """
    SELECT w.site_id, w.day, w.sku_key FROM unnest(%s::uuid[], %s::date[], %s::text[]) AS w (site_id, day, sku_key)
    CROSS JOIN LATERAL (
        SELECT 1 FROM product_view_days d
        WHERE d.organisation_id = %s AND d.site_id = w.site_id AND d.day = w.day AND d.sku_key = w.sku_key LIMIT 1
    ) AS known
"""
ADD = """
    WITH added AS (
        INSERT INTO product_view_days (organisation_id, site_id, day, sku_key, view_count)
        SELECT %(tenant)s, site_id, day, sku_key, view_count FROM staged_product_views
        ON CONFLICT (organisation_id, site_id, day, sku_key) DO UPDATE SET
            view_count = product_view_days.view_count + excluded.view_count
        RETURNING site_id, day, sku_key, xmax = 0 AS is_new
    ), counted AS (
        INSERT INTO product_view_day_counts (organisation_id, site_id, day, sku_count)
        SELECT %(tenant)s, site_id, day, count(*) FROM added WHERE is_new AND sku_key <> %(other)s GROUP BY 2, 3
        ON CONFLICT (organisation_id, site_id, day) DO UPDATE SET
            sku_count = product_view_day_counts.sku_count + excluded.sku_count
    )
    INSERT INTO product_view_totals (organisation_id, sku_key, sku, view_count)
    SELECT %(tenant)s, s.sku_key, min(s.sku), sum(s.view_count)
    FROM staged_product_views s
    JOIN product_view_windows w ON w.organisation_id = %(tenant)s AND w.site_id = s.site_id AND w.first_day <= s.day
    WHERE s.sku_key <> %(other)s
    GROUP BY s.sku_key
    ON CONFLICT (organisation_id, sku_key) DO UPDATE SET
        view_count = product_view_totals.view_count + excluded.view_count
"""
# Days of which all views are counted together have no count of SKUs, and no part in the totals.
NEXT_DAY = """
    SELECT min(day) FROM product_view_day_counts
    WHERE organisation_id = %(tenant)s AND site_id = %(site)s AND day >= %(since)s AND day < %(until)s
"""
LET_DAY_LEAVE = """
    UPDATE product_view_totals t SET view_count = t.view_count - d.view_count
    FROM product_view_days d
    WHERE d.organisation_id = %(tenant)s AND d.site_id = %(site)s AND d.day = %(day)s AND d.sku_key <> %(other)s
        AND t.organisation_id = %(tenant)s AND t.sku_key = d.sku_key
"""
LIST_WINDOWS = """
    SELECT w.site_id, w.first_day, coalesce(s.cut_zone, s.time_zone, 'UTC') FROM product_view_windows w
    LEFT JOIN sites s ON s.organisation_id = w.organisation_id AND s.id = w.site_id
    WHERE w.organisation_id = %s ORDER BY w.site_id
"""
SET_WINDOW = """
    UPDATE product_view_windows SET first_day = %(first_day)s WHERE organisation_id = %(tenant)s AND site_id = %(site)s
"""
_IN_WINDOW = """
    FROM product_view_days d
    JOIN product_view_windows w ON w.organisation_id = %(tenant)s AND w.site_id = d.site_id AND w.first_day <= d.day
    WHERE d.organisation_id = %(tenant)s AND d.site_id = %(site)s AND d.sku_key <> %(other)s
    GROUP BY d.sku_key
"""
TAKE_OFF = f"""
    UPDATE product_view_totals t SET view_count = t.view_count - own.view_count
    FROM (SELECT d.sku_key, sum(d.view_count) AS view_count {_IN_WINDOW}) AS own
    WHERE t.organisation_id = %(tenant)s AND t.sku_key = own.sku_key
"""  # noqa: S608  (put together from the names above)
PUT_BACK = f"""
    INSERT INTO product_view_totals (organisation_id, sku_key, sku, view_count)
    SELECT %(tenant)s, d.sku_key, d.sku_key, sum(d.view_count) {_IN_WINDOW}
    ON CONFLICT (organisation_id, sku_key) DO UPDATE SET
        view_count = product_view_totals.view_count + excluded.view_count
"""
_SINCE = "organisation_id = %(tenant)s AND site_id = %(site)s AND day >= %(since)s"
FORGET_DAYS = f"DELETE FROM product_view_days WHERE {_SINCE}"  # noqa: S608  (put together from the names above)
FORGET_COUNTS = f"DELETE FROM product_view_day_counts WHERE {_SINCE}"  # noqa: S608  (put together from the names above)
FORGET_WINDOW = "DELETE FROM product_view_windows WHERE organisation_id = %(tenant)s AND site_id = %(site)s"
DROP_EMPTY = "DELETE FROM product_view_totals WHERE organisation_id = %(tenant)s AND view_count = 0"
