"""The file with everything held about a person, and the page on which they are erased for good."""

from __future__ import annotations

from uuid import UUID

from flask import Response, abort, flash, redirect, request, stream_with_context, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation, is_owner
from webapp.contacts.erasing import OtherEmailError, erase_contact, find_contact
from webapp.contacts.models import CONTACTS, Contact
from webapp.contacts.person_file import file_name, write_person_file
from webapp.contacts.views import blueprint
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.lib.attachments import as_attachment
from webapp.pages import render_page
from webapp.records.trash import KEPT_FOR

OWNERS_ONLY = "Only owners may erase somebody for good."


@blueprint.get("/<uuid:record_id>/export")
def export_person(record_id: UUID) -> Response:
    """Everything that is held about a person, as a file."""
    return person_file(_contact_or_404(record_id))


def person_file(contact: Contact) -> Response:
    """The file, streamed."""
    name, blocks = file_name(contact), write_person_file(contact)
    db.session.rollback()  # no transaction waits while somebody downloads
    response = Response(stream_with_context(blocks), content_type="application/json")
    response.headers["Content-Disposition"] = as_attachment(name)
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/<uuid:record_id>/erase", methods=["GET", "POST"])
def erase(record_id: UUID) -> BaseResponse:
    """Erase a person at once, when an owner types their address."""
    contact = _contact_or_404(record_id)
    if not is_owner():
        abort(403, OWNERS_ONLY)
    if request.method == "GET":
        return _page(contact)
    label = CONTACTS.label_of(contact)
    try:
        job = erase_contact(contact, request.form.get("email", ""), current_user.id)
    except OtherEmailError as error:
        return _page(contact, str(error), status=422)
    db.session.commit()
    announce(job)
    flash(f"{label} is erased. Their visits are being taken out of what the websites keep.", "success")
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _page(contact: Contact, problem: str = "", status: int = 200) -> BaseResponse:
    return render_page(
        "contacts/erase.html",
        status=status,
        record=contact,
        problem=problem,
        typed=request.form.get("email", ""),
        is_deleted=contact not in db.session,
        kept_for=KEPT_FOR,
    )


def _contact_or_404(record_id: UUID) -> Contact:
    return find_contact(current_organisation().id, record_id) or abort(404)
