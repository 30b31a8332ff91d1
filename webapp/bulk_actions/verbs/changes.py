"""Changing fields of many records at once, with what they were kept for undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from webapp.bulk_actions.verbs.places import Place, exists_in, note_rest, note_succeeded


@dataclass(frozen=True)
class Change:
    """New values by column, as SQL over the record `c`, with the values of its parameters.

    `fits` is whether the record may hold what it would become, `reason` what is said when it may not.
    """

    assignments: Mapping[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)
    fits: str = "true"
    reason: str = ""

    @property
    def differs(self) -> str:
        """Whether it is to be made: something would be different afterwards, and fits."""
        return f"(NOT ({self.is_same}) AND {self.fits})"

    @property
    def is_same(self) -> str:
        """Whether nothing would be different afterwards."""
        return " AND ".join(f"({value}) IS NOT DISTINCT FROM c.{name}" for name, value in self.assignments.items())


def apply_change(place: Place, change: Change, now: datetime) -> int:
    """Change those that would differ, keep what they were, and note that they succeeded; how many.

    All that there are stay locked, the others, too, so that none of them differs later on. Locks are taken in the
    order of keys, as for every write of several records.
    """
    entity = place.entity
    images = ", ".join(f"'{name}', c.{name}" for name in change.assignments)
    assignments = ", ".join(f"{name} = {value}" for name, value in change.assignments.items())
    parts = (
        f"locked AS MATERIALIZED (SELECT c.* FROM {entity.name} c WHERE c.organisation_id = :organisation_id"
        f" AND {place.among('c.id')} ORDER BY c.{entity.key_column} FOR UPDATE),"
        f' kept AS (INSERT INTO before_images (organisation_id, bulk_action_id, record_id, "values", updated_at,'
        f" written_at) SELECT :organisation_id, :bulk_action_id, c.id, jsonb_build_object({images}), c.updated_at, :now"
        f" FROM locked c WHERE {change.differs} RETURNING record_id),"
        f" changed AS (UPDATE {entity.name} c SET {assignments}, updated_at = :now FROM kept"
        f" WHERE c.organisation_id = :organisation_id AND c.id = kept.record_id RETURNING c.id)"
    )
    return note_succeeded(parts, "changed", {**place.values, **change.values, "now": now})


def note_unchanged(place: Place, change: Change) -> int:
    """Skip those of the others for which the change would make no difference; how many."""
    same = exists_in(place.entity.name, change.is_same)
    return note_rest(place, "skipped", same, **change.values)


def note_unfit(place: Place, change: Change) -> int:
    """Note that those of the others have failed which may not hold what they would become; how many."""
    if change.fits == "true":
        return 0
    unfit = exists_in(place.entity.name, f"NOT ({change.fits})")
    return note_rest(place, "failed", unfit, reason=change.reason, **change.values)
