"""What the list of jobs reads beside the jobs themselves."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from webapp.extensions import db

# A look at the index for each kind, however many jobs it has.
KINDS_IN_USE = text(
    """
    WITH RECURSIVE kinds AS (
        (SELECT kind FROM jobs WHERE organisation_id = :organisation_id ORDER BY kind LIMIT 1)
        UNION ALL
        SELECT n.kind FROM kinds k CROSS JOIN LATERAL (
            SELECT j.kind FROM jobs j WHERE j.organisation_id = :organisation_id AND j.kind > k.kind
            ORDER BY j.kind LIMIT 1
        ) n
    )
    SELECT kind FROM kinds
    """
)


def list_kinds_in_use(organisation_id: UUID) -> Sequence[str]:
    """Names of the kinds of which the organisation has jobs."""
    return db.session.scalars(KINDS_IN_USE, {"organisation_id": organisation_id}).all()
