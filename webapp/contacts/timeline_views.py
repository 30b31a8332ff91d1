"""The pages of what a contact did: the timeline in pages, what it adds up to, and whose browsers there are."""

from __future__ import annotations

from uuid import UUID

from flask import Response, abort, request, url_for

from webapp.accounts.current import current_organisation
from webapp.contacts import timeline
from webapp.contacts.former import keys_of
from webapp.contacts.models import CONTACTS, Contact
from webapp.contacts.views import blueprint
from webapp.lib.pagination import BadCursorError
from webapp.pages import render_page
from webapp.records.queries import get_record
from webapp.visits.people.refused import list_refused_of
from webapp.visits.people.summary import summarise
from webapp.visits.people.timeline import list_visits
from webapp.visits.site_page.fields import shown_value

REFUSED_SHOWN = 20


@blueprint.get("/<uuid:record_id>/visits")
def show_visits(record_id: UUID) -> Response:
    """The newest visits, or with a cursor those before it; htmx gets only these."""
    contact = contact_or_404(record_id)
    person, cursor = timeline.person_of(contact), request.args.get("cursor")
    try:
        page = list_visits(person, cursor)
    except BadCursorError as error:
        abort(400, str(error))
    return render_page(
        "contacts/visits.html",
        block="more" if cursor else "timeline",
        record=contact,
        person=person,
        page=page,
        is_first=cursor is None,
        sites=timeline.site_names(contact.organisation_id),
        products=timeline.products_of(contact.organisation_id, page.visits),
        timeline=timeline,
        shown_value=shown_value,
        next_url=_next_url(contact, page.next_cursor),
    )


@blueprint.get("/<uuid:record_id>/visits/summary")
def show_visits_summary(record_id: UUID) -> Response:
    """What all visits add up to, and the browsers that are linked."""
    contact = contact_or_404(record_id)
    person, keys = timeline.person_of(contact), keys_of(contact)
    return render_page(
        "contacts/visits_summary.html",
        block="summary",
        record=contact,
        person=person,
        keys=keys,
        summary=summarise(person),
        refused=list_refused_of(contact.organisation_id, keys, limit=REFUSED_SHOWN),
        sites=timeline.site_names(contact.organisation_id),
        shown_value=shown_value,
    )


def contact_or_404(record_id: UUID) -> Contact:
    """A contact of the current organisation."""
    contact: Contact = get_record(CONTACTS, current_organisation().id, record_id) or abort(404)
    return contact


def _next_url(contact: Contact, cursor: str | None) -> str | None:
    return url_for("contacts.show_visits", record_id=contact.id, cursor=cursor) if cursor else None
