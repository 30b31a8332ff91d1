"""Everything held about a person, and erasing them for good, over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import Schema
from apiflask.fields import String
from flask import Response, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.contacts.api import bp
from webapp.contacts.erasing import OtherEmailError, erase_contact, find_contact
from webapp.contacts.models import CONTACTS, Contact
from webapp.contacts.person_views import person_file
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.records.refusals import refused
from webapp.records.shared_api import not_found
from webapp.schemas import Text


class Confirmation(Schema):
    email = Text(
        load_default="",
        metadata={"description": "The contact's e-mail address, once more. Nothing is erased without it."},
    )


class ErasureStarted(Schema):
    job_id = String(metadata={"format": "uuid"})
    job_url = String()


@bp.get("/<uuid:record_id>/export")
@bp.auth_required(api_auth)
@bp.doc(
    summary="Everything held about a contact",
    description="One JSON file, streamed: the contact, what imports and bulk actions changed, linked browsers, refused"
    " links, every visit and every row of activity that is still kept. Its `about` says what is in each part, and what"
    " is not. It also finds contacts in the trash.",
    responses={200: "The file"},
)
def export_person(record_id: UUID) -> Response:
    return person_file(_contact(record_id))


@bp.post("/<uuid:record_id>/erase")
@bp.auth_required(api_auth)
@bp.input(Confirmation, example={"email": "alice@example.com"})
@bp.output(ErasureStarted, status_code=202)
@bp.doc(
    summary="Erase a contact for good",
    description="At once, without the trash: nothing can be restored. The contact, what undoing kept of them and what"
    " lies in the trash under the same address go now; a job takes the visits of their browsers, the links and the"
    " refused links. Counts of everybody together stay. It also finds contacts in the trash.",
)
def erase(record_id: UUID, json_data: dict[str, Any]) -> ResponseReturnValue:
    try:
        job = erase_contact(_contact(record_id), json_data["email"], None)
    except OtherEmailError as error:
        raise refused({"email": str(error)}) from error
    db.session.commit()
    announce(job)
    return {"job_id": job.id, "job_url": url_for("api_jobs.show", job_id=job.id)}, 202


def _contact(record_id: UUID) -> Contact:
    contact = find_contact(current_organisation().id, record_id)
    if contact is None:
        raise not_found(CONTACTS)
    return contact
