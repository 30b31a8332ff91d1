"""A local Unsplash for each test that asks for one, and an organisation whose jobs ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.pictures.unsplash_server import KEY, Unsplash, serving_unsplash
from webapp.config import Settings
from webapp.extensions import tenant

Configure = Callable[..., None]


@pytest.fixture
def unsplash() -> Iterator[Unsplash]:
    with serving_unsplash() as served:
        yield served


@pytest.fixture
def configure(app: APIFlask, services: Settings) -> Iterator[Configure]:
    """Change settings for this test: `configure(unsplash_access_key="")`."""

    def change(**values: object) -> None:
        app.extensions["settings"] = replace(app.extensions["settings"], **values)

    yield change
    app.extensions["settings"] = services


@pytest.fixture
def organisation(app_context: APIFlask, alice: Person, unsplash: Unsplash, configure: Configure) -> Iterator[UUID]:
    """Alice's organisation, as the tenant of an open app context, in an installation that knows the local Unsplash."""
    configure(unsplash_url=unsplash.url, unsplash_access_key=KEY)
    with tenant(alice.organisation_id):
        yield alice.organisation_id
