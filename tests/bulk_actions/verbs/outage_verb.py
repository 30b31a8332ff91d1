"""Start a verb over all contacts of an installation, or undo: `python -m … ORGANISATION VERB [SOURCE]`."""

from __future__ import annotations

import os
import sys
from uuid import UUID

from webapp.app import create_app
from webapp.bulk_actions.models import BulkAction, Verb
from webapp.bulk_actions.queries import lock_bulk_action
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.selection import Selection
from webapp.bulk_actions.verbs.service import Order, start_undo, start_verb
from webapp.config import get_settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant

COLUMNS = ["email", "first_name", "city", "tags"]
MOST_PER_HOUR = 100


def main(organisation: str, verb: str, source: str = "") -> None:
    """Print the id of the bulk action."""
    app = create_app(get_settings())
    with app.app_context(), tenant(UUID(organisation)):
        bulk_action = _start(UUID(organisation), Verb(verb), source)
        db.session.commit()
        print(bulk_action.id, flush=True)
    send_work()
    os._exit(0)  # tearing an app down can take longer than the verb that somebody waits to disturb


def _start(organisation_id: UUID, verb: Verb, source: str) -> BulkAction:
    if verb is Verb.UNDO:
        undone = lock_bulk_action(organisation_id, UUID(source))
        if undone is None:
            raise LookupError(f"There is no bulk action {source}.")
        return start_undo(undone, None, most_per_hour=MOST_PER_HOUR)
    parameters = {"columns": COLUMNS} if verb is Verb.EXPORT else {}
    order = Order(verb, CONTACTS, Selection(arguments={}), parameters)
    return start_verb(organisation_id, None, order, most_per_hour=MOST_PER_HOUR)


if __name__ == "__main__":
    main(*sys.argv[1:])
