"""How the API refuses values and filters that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from webapp.accounts.current import current_organisation
from webapp.problems import Problem
from webapp.records.entities import Entity
from webapp.records.filters import FilterError, RecordFilter, read_filter


def refused(errors: Mapping[str, str], place: str = "body") -> Problem:
    """A problem that names each value that cannot be used."""
    listed = [{"in": place, "field": field, "message": message} for field, message in errors.items()]
    return Problem(422, "Unprocessable Entity", "Some values cannot be used; `errors` says which.", errors=listed)


def checked_filter(entity: Entity, arguments: Mapping[str, Sequence[str]], place: str) -> RecordFilter:
    """The filter in a call's arguments; what cannot be read ends as a problem."""
    try:
        return read_filter(arguments, entity, ZoneInfo(current_organisation().time_zone))
    except FilterError as error:
        raise refused({"filter": str(error)}, place=place) from error
