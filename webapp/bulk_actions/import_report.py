"""How an import was told to read its file, and where its columns went, for its page."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.mapping import is_attribute
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.wording import DELIMITER_LABELS, ENCODING_LABELS, POLICY_REPORT_WORDS
from webapp.lib.countries import country_names
from webapp.records.entities import Entity
from webapp.records.rules import Rules, rules_from


@dataclass(frozen=True)
class MatchedColumn:
    """A column of the file: what it went to ("" for nothing), and what its cells did where a value was."""

    name: str
    label: str
    is_own: bool
    policy: str


def matched_columns(bulk_action: BulkAction, entity: Entity) -> list[MatchedColumn]:
    """Every column of an import's file, in its order."""
    rules = rules_from((), bulk_action.rules)
    names = enumerate(FileFormat(**bulk_action.format).header)
    return [_matched(name, bulk_action.mapping.get(str(column)), entity, rules) for column, name in names]


def _matched(name: str, target: str | None, entity: Entity, rules: Rules) -> MatchedColumn:
    if not target:
        return MatchedColumn(name, "", is_own=False, policy="")
    if target == entity.key.name:
        return MatchedColumn(name, entity.key.label, is_own=False, policy=f"told which {entity.singular} it was")
    clears = "; a blank cell emptied it" if rules.clears(target) else ""
    words = POLICY_REPORT_WORDS[rules.policy_of(target)]
    return MatchedColumn(name, entity.label_of_column(target), is_attribute(target), f"{words}{clears}")


def read_as(bulk_action: BulkAction) -> list[tuple[str, str]]:
    """(what, how) the file was read."""
    file_format = FileFormat(**bulk_action.format)
    region = bulk_action.parameters.get("region", "")
    said = {
        "Sheet": file_format.sheet,
        "Encoding": "" if file_format.is_workbook else ENCODING_LABELS.get(file_format.encoding, file_format.encoding),
        "Separated by": "" if file_format.is_workbook else DELIMITER_LABELS[file_format.delimiter],
        "First row": "names of columns" if file_format.has_header else "data",
        "Phone numbers without “+”": country_names().get(region, region),
    }
    return [(label, value) for label, value in said.items() if value]
