"""The rules of imports in plain words."""

from __future__ import annotations

from webapp.records.rules import Mode, Policy

MODE_LABELS = {
    Mode.CREATE_AND_UPDATE: "Create new ones and update known ones",
    Mode.CREATE_ONLY: "Only create: known ones are rejected",
    Mode.UPDATE_ONLY: "Only update: new ones are rejected",
    Mode.SKIP_EXISTING: "Create new ones and skip known ones",
}
MODE_WORDS = {
    "create_and_update": "New {name} are created; those whose {key} is known are updated.",
    "create_only": "New {name} are created; rows whose {key} is known are rejected.",
    "update_only": "Those whose {key} is known are updated; all other rows are rejected.",
    "skip_existing": "New {name} are created; rows whose {key} is known are skipped.",
}
POLICY_WORDS = {
    Policy.OVERWRITE: "overwrites what is there",
    Policy.FILL: "fills blanks only",
    Policy.LEAVE: "only for new ones",
    Policy.ADD: "adds to what is there",
}
