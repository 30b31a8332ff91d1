"""What tests of records share: each kind of record in turn, and an open tenant."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.records.support import ENTITIES
from webapp.extensions import tenant
from webapp.records.entities import Entity


@pytest.fixture(params=ENTITIES, ids=lambda entity: str(entity.name))
def entity(request: pytest.FixtureRequest) -> Entity:
    """Contacts, then products."""
    found: Entity = request.param
    return found


@pytest.fixture
def here(app_context: APIFlask, organisation_id: UUID) -> Iterator[UUID]:
    """Alice's organisation, as the tenant of an open app context."""
    with tenant(organisation_id):
        yield organisation_id
