"""Start an import in an installation of its own: `python -m tests.bulk_actions.outage_import ORGANISATION FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import UUID

from webapp.app import create_app
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.importing import start_import
from webapp.bulk_actions.tasks import send_work
from webapp.config import get_settings
from webapp.extensions import db, tenant
from webapp.lib.storage import storage_at


def main(organisation: str, file: str) -> None:
    """Print the id of the bulk action."""
    app = create_app(get_settings())
    storage = storage_at(app.extensions["settings"].uploads_url)
    with app.app_context(), tenant(UUID(organisation)):
        blocks = [Path(file).read_bytes()]
        draft = start_upload(UUID(organisation), None, "people.csv", blocks, storage=storage, limit_bytes=10**9)
        start_import(draft)
        db.session.commit()
        print(draft.id)
    send_work()


if __name__ == "__main__":
    main(*sys.argv[1:])
