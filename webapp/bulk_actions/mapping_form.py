"""The mapping page's form: what it shows of a draft, and what it says when it comes back."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
from flask import request

from webapp.accounts.current import current_organisation
from webapp.bulk_actions import drafts
from webapp.bulk_actions.drafts import Preview
from webapp.bulk_actions.mapping import (
    MAX_ATTRIBUTE_NAME,
    ColumnMapping,
    attribute_target,
    is_attribute,
    keep_as_attributes,
    leave_attributes_out,
    own_width,
)
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.wording import POLICY_WORDS, mode_choices
from webapp.lib.countries import country_names
from webapp.lib.run_times import read_run_at
from webapp.records.entities import ATTRIBUTE_PREFIX, get_entity
from webapp.records.field_types import regions
from webapp.records.rules import TAGS, Mode, Policy, rules_from

OWN = "own"
"""What the list of targets posts for a field of its own, whose name stands beside it."""
USUAL = (Policy.OVERWRITE, Policy.FILL, Policy.LEAVE)


def form_of(bulk_action: BulkAction, preview: Preview) -> dict[str, Any]:
    """What the page needs beside the columns: rules, and what may be chosen."""
    entity = get_entity(bulk_action.entity)
    targets = tuple(target for target in bulk_action.mapping.values() if target)
    header = preview.format.header
    return {
        "entity": entity,
        "rules": rules_from(targets, bulk_action.rules),
        "modes": mode_choices(entity),
        "policies": policies_of,
        "own_value": OWN,
        "own_names": _own_names(bulk_action.mapping, header),
        "max_name_length": MAX_ATTRIBUTE_NAME,
        "own_count": sum(map(is_attribute, bulk_action.mapping.values())),
        "left_out_count": sum(not bulk_action.mapping.get(str(column)) for column in range(own_width(header))),
        "region": bulk_action.parameters.get("region", ""),
        "regions": [("", "None: every number begins with +"), *_region_choices()],
        "has_phone": any(field.type == "tel" for field in entity.fields),
    }


def _own_names(mapping: ColumnMapping, header: list[str]) -> dict[int, str]:
    """What each column is, or would be, called as a field of its own; the two of a report can be none."""
    kept = keep_as_attributes({}, header)
    names = {column: mapping.get(column) if is_attribute(mapping.get(column)) else kept[column] for column in kept}
    return {int(column): (name or "").removeprefix(ATTRIBUTE_PREFIX) for column, name in names.items()}


@cache
def _region_choices() -> tuple[tuple[str, str], ...]:
    """(code, name and what its numbers begin with) of every country, by name."""
    names = country_names()
    named = sorted((names.get(code, code), code) for code in regions())
    return tuple((code, f"{name} (+{phonenumbers.country_code_for_region(code)})") for name, code in named)


def policies_of(target: str) -> list[tuple[str, str]]:
    """(value, words) of what a column may do to a value that is there; the usual one first."""
    kinds = (Policy.ADD, *USUAL) if target == TAGS else USUAL
    return [(kind.value, POLICY_WORDS[kind]) for kind in kinds]


def keep_posted(bulk_action: BulkAction) -> None:
    """Keep the columns' targets, and the rules, as the form says; a column that it leaves out stays as it is."""
    drafts.change_mapping(bulk_action, _posted_mapping(bulk_action))
    if "mode" in request.form:
        drafts.change_rules(bulk_action, _posted_rules(bulk_action), request.form.get("region", ""))


def _posted_mapping(bulk_action: BulkAction) -> ColumnMapping:
    header = bulk_action.format["header"]
    mapping = {column: _posted_target(column, target, header) for column, target in bulk_action.mapping.items()}
    if request.form.get("then") == "keep_all":
        return keep_as_attributes(mapping, header)
    if request.form.get("then") == "leave_out":
        return leave_attributes_out(mapping)
    return mapping


def _posted_target(column: str, target: str | None, header: list[str]) -> str | None:
    """An own field without a usable name is called as the column is."""
    chosen = request.form.get(f"column-{column}", target)
    if chosen != OWN:
        return chosen or None
    usual = keep_as_attributes({}, header).get(column)
    return attribute_target(request.form.get(f"own-{column}", "")) or usual


def _posted_rules(bulk_action: BulkAction) -> dict[str, Any]:
    form = request.form
    targets = {column: target for column, target in bulk_action.mapping.items() if target}
    policies = {target: form[f"policy-{column}"] for column, target in targets.items() if form.get(f"policy-{column}")}
    usual = {target: policy for target, policy in policies.items() if _fits(target, policy)}
    cleared = [target for column, target in targets.items() if f"clear-{column}" in form]
    mode = form["mode"] if form["mode"] in {mode.value for mode in Mode} else Mode.CREATE_AND_UPDATE.value
    return {"mode": mode, "policies": usual, "cleared": cleared}


def _fits(target: str, policy: str) -> bool:
    return policy in {value for value, _ in policies_of(target)}


def posted_run_at() -> datetime | None:
    """When to start; None for at once. Raises RunAtError."""
    return read_run_at(request.form.get("run_at", ""), ZoneInfo(current_organisation().time_zone))
