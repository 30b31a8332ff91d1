"""What an answer about visits depends on, as a short text: while it is the same, so is the answer.

Whatever is counted arrives as raw rows in pieces that never change and whose names never come again, and roll-ups
count it in the same transaction. So the names of the pieces around a range tell every change within it. What changes
otherwise raises the site's revision: counting again, retention and erasing, which may take a piece away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from webapp.extensions import db
from webapp.visits.questions import Question

REACH = timedelta(days=2)
"""Rows of a visit may lie a day beside it; and a day of any zone may begin a day before that of another."""


def stamp_of(question: Question) -> str:
    """The stamp of a question's sites and range. Take it before asking: what is counted meanwhile makes a new one."""
    return make_stamp(question.organisation_id, question.site_ids, question.start - REACH, question.end + REACH)


def make_stamp(organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime) -> str:
    """The stamp of everything that lies in a range."""
    parameters = {"organisation_id": organisation_id, "site_ids": list(site_ids), "start": start, "end": end}
    rows = db.session.execute(text(STATE), parameters).all()
    return short_hash([tuple(row) for row in rows])


def short_hash(content: object) -> str:
    """A text for what has the same `repr`."""
    return hashlib.blake2b(repr(content).encode(), digest_size=16).hexdigest()


STATE = """
    SELECT s.id, s.time_zone, s.cut_zone, s.raw_complete_from, s.revision, pieces.names
    FROM sites s CROSS JOIN LATERAL (
        SELECT md5(string_agg(name, ',' ORDER BY name)) AS names FROM (
            SELECT concat_ws('-', c.kind, c.chunk, c.from_at, c.to_at, octet_length(c.content)) AS name
            FROM raw_chunks c
            WHERE c.organisation_id = s.organisation_id AND c.site_id = s.id
                AND c.to_at >= :start AND c.from_at < :end
            UNION ALL
            SELECT CAST(f.id AS text) FROM sealed_files f
            WHERE f.organisation_id = s.organisation_id AND f.site_id = s.id AND f.state = 'sealed'
                AND f.to_at >= :start AND f.from_at < :end
        ) AS piece
    ) AS pieces
    WHERE s.organisation_id = :organisation_id AND s.id = ANY(CAST(:site_ids AS uuid[]))
    ORDER BY s.id
"""
