"""What happened while the chart went up or down: people's notes, and what other features register here.

Features above visits (imports) give a function instead of being imported.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from webapp.visits.buckets import local_midnight
from webapp.visits.site_page.chart import Bucket, Mark
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.queries import list_notes

LIMIT = 50


@dataclass(frozen=True)
class Annotation:
    """Something that happened at a moment; `url` leads to it."""

    at: datetime
    text: str
    url: str = ""


Source = Callable[[UUID, datetime, datetime], Sequence[Annotation]]
_sources: list[Source] = []


def register(source: Source) -> None:
    """Ask this function, too, for what happened to an organisation between two moments."""
    if source not in _sources:
        _sources.append(source)


def list_annotations(choice: Choice) -> list[Annotation]:
    """Everything that happened in the period, in its order; the latest, where there is too much.

    Nothing for strangers: people write notes for their own organisation.
    """
    if choice.secret:
        return []
    period = choice.period
    found = [
        Annotation(local_midnight(note.day, period.zone), note.text)
        for note in list_notes(choice.organisation_id, choice.site.id, period.first, period.last)
    ]
    for source in _sources:
        found += source(choice.organisation_id, period.start, period.end)
    return sorted(found, key=lambda annotation: annotation.at)[-LIMIT:]


def marks_of(annotations: Sequence[Annotation], buckets: Sequence[Bucket]) -> list[Mark]:
    """One mark a bucket in which something happened."""
    starts = [bucket.starts_at for bucket in buckets]
    texts: dict[int, list[str]] = {}
    for annotation in annotations:
        texts.setdefault(max(0, bisect_right(starts, annotation.at) - 1), []).append(annotation.text)
    return [Mark(index, "; ".join(said)) for index, said in texts.items()]
