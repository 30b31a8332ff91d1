"""What tests of jobs share."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.jobs.support import register_test_kinds
from webapp.extensions import tenant


@pytest.fixture(autouse=True)
def test_kinds() -> None:
    register_test_kinds()


@pytest.fixture
def organisation(app_context: APIFlask, alice: Person) -> Iterator[UUID]:
    """Alice's organisation, as the tenant of an open app context."""
    with tenant(alice.organisation_id):
        yield alice.organisation_id
