"""Alice looks after the installation; what she sees is told to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import register_test_kinds
from webapp.config import Settings
from webapp.extensions import tenant


@pytest.fixture(autouse=True)
def test_kinds() -> None:
    register_test_kinds()


@pytest.fixture
def operator(app: APIFlask, alice: Person, services: Settings) -> Iterator[Person]:
    """Alice, named by the setting, with a verified address."""
    verify(services, alice)
    app.extensions["settings"] = replace(services, operators=(alice.email,))
    yield alice
    app.extensions["settings"] = services


def verify(settings: Settings, person: Person, *, is_verified: bool = True) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE users SET email_is_verified = %s WHERE id = %s", [is_verified, person.user_id])


@pytest.fixture
def organisation(app_context: APIFlask, alice: Person) -> Iterator[UUID]:
    """Alice's organisation, as the tenant of an open app context."""
    with tenant(alice.organisation_id):
        yield alice.organisation_id
