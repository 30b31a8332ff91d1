"""Values to choose from in the form that adds a filter."""

from __future__ import annotations

from flask import render_template, request
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.fields import LABELS, OTHER, PAGE_FIELDS
from webapp.visits.site_page.fields import shown_value as shown
from webapp.visits.site_page.lists import list_values, spelled_page
from webapp.visits.site_page.views import find_site
from webapp.visits.views import visits

OFFERED = 100
AS_KEPT = ("language",)
"""Fields whose values are typed as they are kept: `en-gb`."""


@visits.get("/filter-values")
def suggest_values() -> ResponseReturnValue:
    """The most frequent values of a field under the other filters, as people type them."""
    return values_of(read_choice(find_site(request.args.get("site", "")), request.args, utc_now()))


def values_of(choice: Choice) -> ResponseReturnValue:
    """The same of any choice; none of a field that this may not tell."""
    field = request.args.get("field", "")
    if field not in LABELS or not choice.tells(field) or not choice.may_filter(field):
        return render_template("visits/_filter_values.html", values=[])
    others = choice.with_filters([one for one in choice.filters if one.field != field])
    values = [one.value for one in list_values(others, field, OFFERED)]
    typed = [_typed(choice, field, value) for value in values if value and value != OTHER]
    return render_template("visits/_filter_values.html", values=dict.fromkeys(typed))


def _typed(choice: Choice, field: str, value: str) -> str:
    """What to type for a value; a page of one of several websites by its whole address."""
    if field in PAGE_FIELDS:
        path, note = spelled_page(choice, value)
        return value if note else path
    return value if field in AS_KEPT else shown(field, value)
