"""`/api/v1/contacts`: list, read, create, change and delete contacts with an API key."""

from __future__ import annotations

from webapp.contacts.models import CONTACTS
from webapp.records.api import make_api
from webapp.records.shared_api import Calls

bp = make_api(
    Calls(
        CONTACTS,
        example={"email": "bob@example.com", "first_name": "Bob", "last_name": "Baker", "company": "Baker & Sons"},
        example_change={"job_title": "Head baker", "phone": None, "attributes": {"Favourite bread": "rye"}},
    )
)
