"""An upload that finds no room changes nothing, and says who can help."""

from __future__ import annotations

import io
from typing import Any

import obstore
import pytest
from apiflask import APIFlask
from obstore.exceptions import GenericError

from tests.bulk_actions.support import count_rows, csv_of
from tests.bulk_actions.test_api import calling_as
from tests.bulk_actions.test_resumable import asking, begin, send
from tests.conftest import Person
from webapp.config import Settings

TITLE = "The disk of this server is full"
FILE = csv_of([["ada@example.com", "Ada"]])


@pytest.fixture(autouse=True)
def full_disk(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store answers as it does on a file system without room."""
    words = "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"

    def refuse(store: Any, path: str, file: Any) -> None:
        b"".join(file)
        raise GenericError(words)

    monkeypatch.setattr(obstore, "put", refuse)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)


def form() -> dict[str, Any]:
    return {"data": {"file": (io.BytesIO(FILE), "people.csv")}, "content_type": "multipart/form-data"}


def test_the_form_says_so(app: APIFlask, services: Settings, alice: Person) -> None:
    answer = alice.client.post("/bulk-actions", **form())
    assert answer.status_code == 507
    assert TITLE in answer.text
    assert "free some space" in answer.text
    assert count_rows(services, "bulk_actions") == 0


def test_the_api_says_so(app: APIFlask, services: Settings, alice: Person) -> None:
    answer = calling_as(app, alice.organisation_id)("/api/v1/bulk-actions/upload", "POST", **form())
    assert answer.status_code == 507
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["title"] == TITLE
    assert count_rows(services, "bulk_actions") == 0


def test_an_upload_in_pieces_says_so_and_goes_on_when_there_is_room(
    app: APIFlask, services: Settings, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asking(alice)
    path = begin(ask, FILE)
    answer = send(ask, path, FILE, 0)
    assert answer.status_code == 507
    assert TITLE in answer.text
    monkeypatch.undo()
    assert send(ask, path, FILE, 0).status_code == 204
    assert count_rows(services, "bulk_actions") == 1
