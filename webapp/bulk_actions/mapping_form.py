"""The mapping page's form: what it shows of a draft, and what it says when it comes back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import request

from webapp.accounts.current import current_organisation
from webapp.bulk_actions import drafts
from webapp.bulk_actions.drafts import Preview
from webapp.bulk_actions.mapping import REPORT_COLUMNS, keep_as_attributes
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.wording import MODE_LABELS, POLICY_WORDS
from webapp.lib.run_times import read_run_at
from webapp.records.entities import ATTRIBUTE_PREFIX, get_entity
from webapp.records.field_types import regions
from webapp.records.rules import TAGS, Mode, Policy, rules_from

USUAL = (Policy.OVERWRITE, Policy.FILL, Policy.LEAVE)


def form_of(bulk_action: BulkAction, preview: Preview) -> dict[str, Any]:
    """What the page needs beside the columns: rules, and what may be chosen."""
    entity = get_entity(bulk_action.entity)
    targets = tuple(target for target in bulk_action.mapping.values() if target)
    return {
        "entity": entity,
        "rules": rules_from(targets, bulk_action.rules),
        "modes": [(mode.value, label) for mode, label in MODE_LABELS.items()],
        "policies": policies_of,
        "own_names": {column.index: own_name(column.name, column.index) for column in preview.columns},
        "report_columns": REPORT_COLUMNS,
        "region": bulk_action.parameters.get("region", ""),
        "regions": [("", "none: all numbers begin with +"), *((code, code) for code in regions())],
        "has_phone": any(field.type == "tel" for field in entity.fields),
    }


def own_name(header: str, column: int) -> str:
    """The own attribute that a column would become."""
    kept = keep_as_attributes({str(column): None}, [*[""] * column, header])
    return kept[str(column)] or f"{ATTRIBUTE_PREFIX}Column {column + 1}"


def policies_of(target: str) -> list[tuple[str, str]]:
    """(value, words) of what a column may do to a value that is there; the usual one first."""
    kinds = (Policy.ADD, *USUAL) if target == TAGS else USUAL
    return [(kind.value, POLICY_WORDS[kind]) for kind in kinds]


def keep_posted(bulk_action: BulkAction) -> None:
    """Keep the columns' targets, and the rules, as the form says; a column that it leaves out stays as it is."""
    drafts.change_mapping(bulk_action, _posted_mapping(bulk_action))
    if "mode" in request.form:
        drafts.change_rules(bulk_action, _posted_rules(bulk_action), request.form.get("region", ""))


def _posted_mapping(bulk_action: BulkAction) -> dict[str, str | None]:
    mapping = {
        column: request.form.get(f"column-{column}", target) or None for column, target in bulk_action.mapping.items()
    }
    if request.form.get("then") == "keep_all":
        return keep_as_attributes(mapping, bulk_action.format["header"])
    return mapping


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
