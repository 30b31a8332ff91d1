"""The contacts pages."""

from __future__ import annotations

from typing import Any

from webapp.contacts.models import CONTACTS, Contact
from webapp.records.views import Pages, make_blueprint
from webapp.visits.queries import get_known_visitor


def _shown_beside(contact: Contact) -> dict[str, Any]:
    """What this person did on the organisation's websites."""
    return {"visitor": get_known_visitor(contact.organisation_id, contact.email_key)}


blueprint = make_blueprint(Pages(CONTACTS, _shown_beside))
