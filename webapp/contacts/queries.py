"""Every look at contacts."""

from __future__ import annotations

from uuid import UUID

from webapp.contacts.models import CONTACTS
from webapp.records import queries
from webapp.records.filters import RecordFilter
from webapp.records.search import RecordCount


def count_contacts(organisation_id: UUID, *, q: str = "") -> RecordCount:
    """How many there are, counted up to 100,000."""
    return queries.count_records(CONTACTS, organisation_id, RecordFilter(q=q))
