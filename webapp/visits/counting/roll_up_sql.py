"""The statements of the roll-ups. Times are milliseconds since 1970 on their way in and out.

PostgreSQL refuses COPY into a table with a policy, so rows arrive in tables of this connection's own.
"""

from __future__ import annotations

from webapp.visits.counting.tallying import DIMENSION_COUNTS, SITE_COUNTS
from webapp.visits.counting.tallying import PAGE_COUNTS as PAGE_COUNT_NAMES

AT = "to_timestamp({} / 1000.0)"
MS = "(extract(epoch FROM {}) * 1000)::bigint"


def _columns(names: tuple[str, ...], kind: str) -> str:
    return ", ".join(f"{name} {kind}" for name in names)


def _added(table: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names)


_PAGE_NAMES = ", ".join(PAGE_COUNT_NAMES)
_DIMENSION_NAMES = ", ".join(DIMENSION_COUNTS)
_SITE_NAMES = ", ".join(SITE_COUNTS)
_STAGED = {
    "staged_addresses": "id uuid, url text",
    "staged_pages": "site_id uuid, grain text, bucket bigint, month bigint, page_id uuid, "
    + _columns(PAGE_COUNT_NAMES, "bigint"),
    "staged_day_pages": "site_id uuid, day bigint, page_id uuid",
    "staged_day_values": "site_id uuid, site int, day bigint, dimension text, value text",
    "staged_dimensions": "site_id uuid, grain text, bucket bigint, month bigint, dimension text, value text, "
    + _columns(DIMENSION_COUNTS, "bigint"),
}
MAKE_STAGED = [
    f"CREATE TEMP TABLE IF NOT EXISTS {table} ({columns}) ON COMMIT DELETE ROWS" for table, columns in _STAGED.items()
]
PAGE_COUNTS = f"""
    SELECT r.site_id, {MS.format("r.bucket_at")}, r.page_count FROM site_roll_ups r
    WHERE r.organisation_id = %s AND r.grain = 'day' AND (r.site_id, r.bucket_at) IN (
        SELECT w.site_id, {AT.format("w.day")} FROM unnest(%s::uuid[], %s::bigint[]) AS w (site_id, day)
    )
"""  # noqa: S608  (put together from the names above, here and below)
# One index look-up for each, whatever the planner thinks of the sizes.
COUNTED_PAGES = f"""
    SELECT w.site_id, w.day, w.page_id FROM staged_day_pages w
    CROSS JOIN LATERAL (
        SELECT 1 FROM page_roll_ups r
        WHERE r.organisation_id = %s AND r.site_id = w.site_id AND r.grain = 'day'
          AND r.bucket_at = {AT.format("w.day")} AND r.page_id = w.page_id
        LIMIT 1
    ) AS counted
"""  # noqa: S608
# A batch has mostly one day of a month, and adds the same to both: then one row is staged, with its `month`.
ADD_TO_PAGES = f"""
    WITH added AS (
        INSERT INTO page_roll_ups (organisation_id, site_id, grain, bucket_at, page_id, {_PAGE_NAMES})
        SELECT %(tenant)s, site_id, grain, {AT.format("bucket")}, page_id, {_PAGE_NAMES} FROM staged_pages
        UNION ALL
        SELECT %(tenant)s, site_id, 'month', {AT.format("month")}, page_id, {_PAGE_NAMES} FROM staged_pages
        WHERE month > 0
        ON CONFLICT (organisation_id, site_id, grain, bucket_at, page_id) DO UPDATE SET
            {_added("page_roll_ups", PAGE_COUNT_NAMES)}
        RETURNING site_id, grain, bucket_at, page_id, xmax = 0 AS is_new
    ), new AS (
        SELECT site_id, bucket_at, page_id FROM added WHERE is_new AND grain = 'day' AND page_id <> %(other)s
    ), named AS (
        INSERT INTO pages (organisation_id, id, url)
        SELECT %(tenant)s, id, url FROM staged_addresses WHERE id IN (SELECT page_id FROM new) ORDER BY id
        ON CONFLICT DO NOTHING
    )
    SELECT site_id, {MS.format("bucket_at")}, count(*) FROM new GROUP BY 1, 2
"""  # noqa: S608
COUNTED_VALUES = f"""
    SELECT w.site, w.day, w.dimension, w.value FROM staged_day_values w
    CROSS JOIN LATERAL (
        SELECT 1 FROM dimension_roll_ups r
        WHERE r.organisation_id = %s AND r.site_id = w.site_id AND r.dimension = w.dimension AND r.grain = 'day'
          AND r.bucket_at = {AT.format("w.day")} AND r.value = w.value
        LIMIT 1
    ) AS counted
"""  # noqa: S608
VALUE_COUNTS = f"""
    SELECT w.site_id, w.day, w.dimension, counted.value_count
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS w (site_id, day, dimension)
    CROSS JOIN LATERAL (
        SELECT count(*) AS value_count FROM dimension_roll_ups r
        WHERE r.organisation_id = %s AND r.site_id = w.site_id AND r.dimension = w.dimension AND r.grain = 'day'
          AND r.bucket_at = {AT.format("w.day")} AND r.value <> %s
    ) AS counted
"""  # noqa: S608
ADD_TO_DIMENSIONS = f"""
    INSERT INTO dimension_roll_ups (
        organisation_id, site_id, grain, bucket_at, dimension, value, {_DIMENSION_NAMES}
    )
    SELECT %(tenant)s, site_id, grain, {AT.format("bucket")}, dimension, value, {_DIMENSION_NAMES}
    FROM staged_dimensions
    UNION ALL
    SELECT %(tenant)s, site_id, 'month', {AT.format("month")}, dimension, value, {_DIMENSION_NAMES}
    FROM staged_dimensions WHERE month > 0
    ON CONFLICT (organisation_id, site_id, dimension, grain, bucket_at, value) DO UPDATE SET
        {_added("dimension_roll_ups", DIMENSION_COUNTS)}
"""  # noqa: S608
_NAMED_KEYS = """unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::text[]{more})
    AS w (site_id, grain, bucket, dimension, value{name})"""
_NAMED_MATCH = f"""
    r.organisation_id = %s AND r.site_id = w.site_id AND r.dimension = w.dimension AND r.grain = w.grain
    AND r.bucket_at = {AT.format("w.bucket")} AND r.value = w.value
"""
NAMED_SKETCHES = f"""
    SELECT w.site_id, w.grain, w.bucket, w.dimension, w.value, kept.visitors FROM {_NAMED_KEYS.format(more="", name="")}
    CROSS JOIN LATERAL (
        SELECT r.visitors FROM dimension_roll_ups r WHERE {_NAMED_MATCH} AND r.visitors IS NOT NULL LIMIT 1
    ) AS kept
"""  # noqa: S608
SET_NAMED_SKETCHES = f"""
    UPDATE dimension_roll_ups r SET visitors = w.visitors
    FROM {_NAMED_KEYS.format(more=", %s::bytea[]", name=", visitors")} WHERE {_NAMED_MATCH}
"""  # noqa: S608
SKETCHES = f"""
    SELECT w.site_id, w.grain, w.bucket, kept.visitors
    FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) AS w (site_id, grain, bucket)
    CROSS JOIN LATERAL (
        SELECT r.visitors FROM site_roll_ups r
        WHERE r.organisation_id = %s AND r.site_id = w.site_id AND r.grain = w.grain
          AND r.bucket_at = {AT.format("w.bucket")}
        LIMIT 1
    ) AS kept
"""  # noqa: S608
MARK_BROKEN = """
    UPDATE sites SET broken_at = coalesce(broken_at, %s) WHERE organisation_id = %s AND id = ANY(%s::uuid[])
"""
ADD_TO_SITES = f"""
    INSERT INTO site_roll_ups (organisation_id, site_id, grain, bucket_at, {_SITE_NAMES}, page_count, visitors)
    SELECT %s, w.site_id, w.grain, {AT.format("w.bucket")}, {_SITE_NAMES}, w.page_count, w.visitors
    FROM unnest(
        %s::uuid[], %s::text[], %s::bigint[], {", ".join(["%s::bigint[]"] * (len(SITE_COUNTS) + 1))}, %s::bytea[]
    ) AS w (site_id, grain, bucket, {_SITE_NAMES}, page_count, visitors)
    ON CONFLICT (organisation_id, site_id, grain, bucket_at) DO UPDATE SET
        {_added("site_roll_ups", (*SITE_COUNTS, "page_count"))}, visitors = excluded.visitors
"""  # noqa: S608
