"""The contacts pages."""

from __future__ import annotations

from webapp.contacts.models import CONTACTS
from webapp.records.views import Pages, make_blueprint

blueprint = make_blueprint(Pages(CONTACTS))
