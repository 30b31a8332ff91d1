"""How often each page was seen, bucket by bucket, from roll-ups of days or months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from webapp.extensions import db
from webapp.visits.models import Grain
from webapp.visits.questions import PagePoints, Question, TooManyPointsError
from webapp.visits.rolled_up import MATCHES, OTHER, WANTED, parts_as_parameters, parts_between

ROWS_LIMIT = 1_000_000
"""The most rows that are read for an answer, so that nobody waits for many seconds."""


def list_page_points(question: Question, edges: Sequence[datetime], points_limit: int) -> PagePoints | None:
    """For each page the buckets in which it was seen, and how often; None where days of a site are cut otherwise.

    Raises TooManyPointsError.
    """
    parts = parts_between(question, edges)
    if any(part.grain is Grain.QUARTER for of_site in parts.values() for part in of_site):
        return None
    limits = {"rows_limit": ROWS_LIMIT + 1, "points_limit": points_limit + 1}
    found = db.session.execute(
        text(BY_PAGE), {**parts_as_parameters(question, parts), "edges": list(edges), **limits}
    ).all()
    if sum(row.row_count for row in found) > ROWS_LIMIT:
        raise TooManyPointsError("This range has too many visits to be counted at once.")
    if sum(len(row.indexes) for row in found) > points_limit:
        raise TooManyPointsError(f"This range has more than {points_limit:,} buckets with visits.")
    return {
        row.url or OTHER: [
            (edges[index - 1], count) for index, count in zip(row.indexes, row.pageview_counts, strict=True)
        ]
        for row in found
    }


# Reading and answering stop at their limits; pages are joined and sorted when each is one row.
BY_PAGE = f"""
    SELECT p.url, page.indexes, page.pageview_counts, page.row_count FROM (
        SELECT point.page_id, array_agg(point.index ORDER BY point.index) AS indexes,
            array_agg(point.pageview_count ORDER BY point.index) AS pageview_counts,
            CAST(sum(point.row_count) AS bigint) AS row_count
        FROM (
            SELECT r.page_id, width_bucket(r.at, CAST(:edges AS timestamptz[])) AS index,
                CAST(sum(r.pageview_count) AS bigint) AS pageview_count, count(*) AS row_count
            FROM (
                SELECT r.page_id, r.bucket_at AS at, r.pageview_count FROM {WANTED} JOIN page_roll_ups r ON {MATCHES}
                WHERE r.pageview_count > 0 LIMIT :rows_limit
            ) AS r
            GROUP BY 1, 2 LIMIT :points_limit
        ) AS point
        GROUP BY point.page_id
    ) AS page
    LEFT JOIN pages p ON p.organisation_id = :organisation_id AND p.id = page.page_id
    ORDER BY p.url
"""  # noqa: S608  (put together from the names above)
