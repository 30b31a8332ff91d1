"""What an import may do to records that exist, and which of two values a column keeps."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Mode(enum.Enum):
    """What happens to a row whose key is new, and to one whose key is known."""

    CREATE_AND_UPDATE = "create_and_update"
    CREATE_ONLY = "create_only"
    UPDATE_ONLY = "update_only"
    SKIP_EXISTING = "skip_existing"


class Policy(enum.Enum):
    """What a cell does to a record that has a value already. `add` is for tags alone."""

    OVERWRITE = "overwrite"
    FILL = "fill"
    LEAVE = "leave"
    ADD = "add"


TAGS = "tags"


@dataclass(frozen=True)
class Rules:
    """The rules of one import.

    `columns` are the names of the fields, and of own attributes as "attributes.<name>", that the file fills.
    `policies` are those that differ from the usual one; in `cleared` a blank cell empties what is there.
    """

    columns: tuple[str, ...]
    mode: Mode = Mode.CREATE_AND_UPDATE
    policies: tuple[tuple[str, Policy], ...] = ()
    cleared: frozenset[str] = frozenset()

    @property
    def may_create(self) -> bool:
        return self.mode is not Mode.UPDATE_ONLY

    @property
    def may_update(self) -> bool:
        return self.mode in {Mode.CREATE_AND_UPDATE, Mode.UPDATE_ONLY}

    @property
    def may_reject(self) -> bool:
        """Whether the merge may find rows that stay out, whose own cells must then be kept until then."""
        return self.mode in {Mode.CREATE_ONLY, Mode.UPDATE_ONLY}

    def policy_of(self, column: str) -> Policy:
        """Tags are added, everything else is overwritten, unless somebody chose otherwise."""
        return dict(self.policies).get(column, usual_policy(column))

    def clears(self, column: str) -> bool:
        """Whether a blank cell empties what is there: only where a cell would overwrite it."""
        return column in self.cleared and self.policy_of(column) is Policy.OVERWRITE


def usual_policy(column: str) -> Policy:
    """What a column does unless somebody chooses otherwise."""
    return Policy.ADD if column == TAGS else Policy.OVERWRITE


def rules_from(columns: tuple[str, ...], chosen: Mapping[str, Any]) -> Rules:
    """The rules as `as_json` wrote them; raises ValueError for what is no rule."""
    policies = tuple((name, Policy(policy)) for name, policy in sorted(chosen.get("policies", {}).items()))
    for name, policy in policies:
        if policy is Policy.ADD and name != TAGS:
            raise ValueError("Only tags can be added to what is there.")
    mode = Mode(chosen.get("mode", Mode.CREATE_AND_UPDATE.value))
    return Rules(columns, mode, policies, frozenset(chosen.get("cleared", ())))


def as_json(rules: Rules) -> dict[str, Any]:
    """The rules for a row of PostgreSQL, without the columns."""
    return {
        "mode": rules.mode.value,
        "policies": {name: policy.value for name, policy in rules.policies},
        "cleared": sorted(rules.cleared),
    }
