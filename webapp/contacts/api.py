"""`/api/v1/contacts`: list, read, create, change and delete contacts with an API key."""

from __future__ import annotations

from webapp.contacts.models import CONTACTS
from webapp.records.api import Examples, make_api

EXAMPLES = Examples(
    create={"email": "bob@example.com", "first_name": "Bob", "last_name": "Baker", "company": "Baker & Sons"},
    update={"job_title": "Head baker", "phone": None},
)

bp = make_api(CONTACTS, EXAMPLES)
