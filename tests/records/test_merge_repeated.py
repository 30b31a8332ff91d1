"""Rows of one key in a file do what they would in files that come one after another."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import owner_connection
from tests.records.test_merge import import_rows
from webapp.config import Settings

HEADER = ["Email", "First name", "City", "Tags", "Shoe size"]
MAPPING = {"0": "email", "1": "first_name", "2": "city", "3": "tags", "4": "attributes.Shoe size"}
KNOWN = [["known@example.com", "Ada", "", "old", ""], ["full@example.com", "Flo", "Ulm", "old", "38"]]
REPEATED = [
    ["new@example.com", "Nia", "", "a", ""],
    ["known@example.com", "", "Rome", "a", "40"],
    ["new@example.com", "", "Bonn", "b", "41"],
    ["full@example.com", "Fay", "Rome", "a", "40"],
    ["known@example.com", "Amy", "Bonn", "b", ""],
    ["new@example.com", "Ned", "", "", ""],
    ["full@example.com", "", "Bonn", "b", "41"],
    ["known@example.com", "", "", "", "42"],
]


def kept(settings: Settings, organisation_id: UUID) -> dict[str, tuple[object, ...]]:
    with owner_connection(settings) as connection:
        query = "SELECT email_key, first_name, city, tags, attributes FROM contacts WHERE organisation_id = %s"
        return {row[0]: row[1:] for row in connection.execute(query, [organisation_id])}


@pytest.mark.parametrize(
    ("policy", "clears"), [("overwrite", False), ("overwrite", True), ("fill", False), ("leave", False)]
)
def test_rows_of_one_key_do_what_they_would_one_after_another(
    app: APIFlask, organisation_id: UUID, services: Settings, policy: str, clears: bool
) -> None:
    names = ["first_name", "city", "tags", "attributes.Shoe size"]
    rules = {"policies": dict.fromkeys(names, policy), "cleared": names[:2] if clears else []}

    def bring(rows: list[list[str]]) -> None:
        import_rows(app, organisation_id, rows, HEADER, mapping=MAPPING, rules=rules)

    import_rows(app, organisation_id, KNOWN, HEADER, mapping=MAPPING)
    bring(REPEATED)
    together = kept(services, organisation_id)
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM contacts")
    import_rows(app, organisation_id, KNOWN, HEADER, mapping=MAPPING)
    for row in REPEATED:
        bring([row])
    assert together == kept(services, organisation_id)
    assert len(together) == 3
