"""The statements of a merge, made from an entity's declaration and an import's rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from webapp.records.entities import ATTRIBUTE_PREFIX, ATTRIBUTES, Entity
from webapp.records.field_types import MAX_TAGS
from webapp.records.fields import Field
from webapp.records.rules import TAGS, Policy, Rules

RANGE = (
    "s.organisation_id = %(organisation_id)s AND s.bulk_action_id = %(bulk_action_id)s"
    " AND s.bucket >= %(start)s AND s.bucket < %(end)s"
)
# A record that this very merge has just created is no known one.
KNOWN = "NOT (c.created_at = %(now)s AND c.bulk_action_id IS NOT DISTINCT FROM %(bulk_action_id)s)"


KEEPING = (Policy.FILL, Policy.LEAVE)
"""Where a value is there, it stays."""


@dataclass(frozen=True)
class Statements:
    """All that a merge may run. Those that note an outcome return how many records have it."""

    note_replaced: str
    folds: tuple[str, ...]
    drop_replaced: str
    drop_crowded: str
    forget_replaced: str
    count: str
    create: str
    note_new: str
    note_skipped: str
    note_unchanged: str
    note_changing: str
    list_crowded: str
    reject_known: str
    reject_missing: str
    lock: str
    keep_before: str
    update: str


@lru_cache(maxsize=200)
def statements_for(entity: Entity, rules: Rules) -> Statements:
    """The statements of an import of this entity by these rules."""
    return _Maker(entity, rules).make()


class _Maker:
    """Puts the statements together. Names come from declarations; values, and names that people chose, are quoted."""

    def __init__(self, entity: Entity, rules: Rules) -> None:
        self.entity = entity
        self.rules = rules
        self.fields = [field for field in entity.fields if field.name in rules.columns]
        self.names = [field.name for field in self.fields]
        self.attributes = [name.removeprefix(ATTRIBUTE_PREFIX) for name in rules.columns if _is_attribute(name)]
        self.staged = f"{entity.staged.name} s"
        self.same = f"c.organisation_id = %(organisation_id)s AND c.{entity.key_column} = s.{entity.key_column}"
        self.record = f"SELECT c.ctid AS record_place, c.* FROM {entity.name} c WHERE {self.same}"

    def make(self) -> Statements:
        return Statements(
            note_replaced=self.note_replaced(),
            folds=self.folds(),
            drop_replaced=self.drop_replaced(),
            drop_crowded=self.drop_crowded(),
            forget_replaced=self.forget_replaced(),
            count=f"SELECT count(*) FROM {self.staged} WHERE {RANGE}",
            create=self.create(),
            note_new=self.noting("created", self.of_missing("NULL::uuid AS id, s.row_number")),
            note_skipped=self.noting("skipped", self.of_known(KNOWN)),
            note_unchanged=self.noting("unchanged", self.of_known(f"{KNOWN} AND NOT ({self.changes()})")),
            note_changing=self.noting("updated", self.of_known(self.written())),
            list_crowded=self.of_known(f"{KNOWN} AND {self.crowds()}", "s.row_number"),
            reject_known=self.rejecting("exists", self.of_known(KNOWN, "s.row_number, s.cells")),
            reject_missing=self.rejecting("missing", self.of_missing("s.row_number, s.cells")),
            lock=self.lock(),
            keep_before=self.keep_before(),
            update=self.update(),
        )

    # Rows of one key -------------------------------------------------------------------------------

    def _numbered(self) -> str:
        key = self.entity.key_column
        return (
            f"SELECT s.ctid AS place, {key} AS key, row_number,"
            f" lead(row_number) OVER (PARTITION BY {key} ORDER BY row_number)"
            f" AS next_row_number FROM {self.staged} WHERE {RANGE}"
        )

    def note_replaced(self) -> str:
        return f"""
            INSERT INTO replaced_rows
                (organisation_id, bulk_action_id, row_number, replaced_by_row_number, record_key)
            SELECT %(organisation_id)s, %(bulk_action_id)s, row_number, next_row_number, key
            FROM ({self._numbered()}) AS rows WHERE next_row_number IS NOT NULL
        """

    def drop_replaced(self) -> str:
        return f"""
            DELETE FROM {self.entity.staged.name} WHERE ctid = ANY (ARRAY(
                SELECT place FROM ({self._numbered()}) AS rows WHERE next_row_number IS NOT NULL))
        """

    def folds(self) -> tuple[str, ...]:
        """The last row of each key takes over what the rows before it say and it does not.

        In a column that does not overwrite, what was said first stays, as if the rows had come one after another.
        """
        plain = [f for f in self.fields if not f.is_key and not (self.adds_tags and f.name == TAGS)]
        folds = [self._fold_cells(plain)] if plain else []
        if self.adds_tags:
            folds.append(self._fold_tags())
        if self.attributes:
            folds.append(self._fold_attributes())
        return tuple(folds)

    def _fold_cells(self, fields: Sequence[Field]) -> str:
        key = self.entity.key_column
        taken = ", ".join(f"{field.name} = folded.{field.name}" for field in fields)
        last = ", ".join(f"{self._last(field)} AS {field.name}" for field in fields)
        return f"""
            UPDATE {self.staged} SET {taken}
            FROM (SELECT (array_agg(s.ctid ORDER BY row_number DESC))[1] AS place, {last}
                  FROM {self.staged} WHERE {RANGE} GROUP BY {key} HAVING count(*) > 1) AS folded
            WHERE s.ctid = folded.place
        """

    def _last(self, field: Field) -> str:
        """The last cell, or the last one that is not blank; the first of these in a column that fills blanks only.

        Of one that leaves what is there, the first row's own cell counts, blank or not. Lists go as texts: an array
        of them would be a matrix.
        """
        cell, back = (f"{field.name}::text", f"::{field.sql_type}") if "[]" in field.sql_type else (field.name, "")
        blanks = "" if self.rules.clears(field.name) else f" FILTER (WHERE {field.name} IS NOT NULL)"
        policy = self.rules.policy_of(field.name)
        order = "ASC" if policy in KEEPING else "DESC"
        blanks = "" if policy is Policy.LEAVE else blanks
        return f"(array_agg({cell} ORDER BY row_number {order}){blanks})[1]{back}"

    def _fold_tags(self) -> str:
        key = self.entity.key_column
        return f"""
            UPDATE {self.staged} SET tags = folded.tags
            FROM (SELECT s.{key} AS key, array_agg(DISTINCT tag COLLATE "C" ORDER BY tag COLLATE "C") AS tags
                  FROM {self.staged}, unnest(s.tags) AS tag WHERE {RANGE}
                  GROUP BY s.{key} HAVING count(DISTINCT s.row_number) > 1) AS folded
            WHERE {RANGE} AND s.{key} = folded.key
        """

    def drop_crowded(self) -> str:
        """All rows of keys of which they say more tags together than a record may have; their numbers and keys.

        Known records that this import leaves alone stay out of it.
        """
        key = self.entity.key_column
        known = f"SELECT FROM {self.entity.name} c WHERE c.organisation_id = %(organisation_id)s AND c.{key} = s.{key}"
        concerns = "true" if self.rules.may_update else f"NOT EXISTS ({known})"
        return f"""
            DELETE FROM {self.staged} WHERE {RANGE} AND {"true" if self.adds_tags else "false"} AND {concerns}
            AND s.{key} IN (SELECT s.{key} FROM {self.staged}, unnest(s.tags) AS tag WHERE {RANGE}
                            GROUP BY s.{key} HAVING count(DISTINCT tag) > {MAX_TAGS})
            RETURNING s.row_number, s.{key}
        """

    def forget_replaced(self) -> str:
        """Rows of these keys are not replaced after all."""
        return (
            "DELETE FROM replaced_rows WHERE organisation_id = %(organisation_id)s"
            " AND bulk_action_id = %(bulk_action_id)s AND record_key = ANY (%(keys)s)"
        )

    def _fold_attributes(self) -> str:
        """An object keeps the last of two values under one name; a name that leaves what is there, the first row's."""
        key = self.entity.key_column
        kept = [name for policy in KEEPING for name in self._attributes_with(policy)]
        left = self._attributes_with(Policy.LEAVE)
        order = f"CASE WHEN cell.key = ANY ({_texts(kept)}) THEN -s.row_number ELSE s.row_number END"
        return f"""
            UPDATE {self.staged} SET attributes = folded.attributes
            FROM (SELECT s.key, coalesce(jsonb_object_agg(cell.key, cell.value ORDER BY {order})
                      FILTER (WHERE s.is_first OR NOT cell.key = ANY ({_texts(left)})), '{{}}') AS attributes
                  FROM (SELECT s.{key} AS key, s.row_number, s.attributes,
                               s.row_number = min(s.row_number) OVER (PARTITION BY s.{key}) AS is_first
                        FROM {self.staged} WHERE {RANGE}) AS s, jsonb_each(s.attributes) AS cell
                  GROUP BY s.key) AS folded
            WHERE {RANGE} AND s.{key} = folded.key
        """

    # What is new -----------------------------------------------------------------------------------

    def create(self) -> str:
        """Which keys are new is the unique index's own answer, not a look-up's.

        Several merges fill an almost empty table at once, and a plan made when it had a few rows reads all of an
        organisation's for each look-up. Ids are UUIDv7 of the merge's moment. Their random part is a salted
        hash of the key, which costs a tenth of what the database's own random numbers do.
        """
        key = self.entity.key_column
        digits = f"md5(s.{key} || %(salt)s)"
        variant = f"translate(substr({digits}, 4, 1), '0123456789abcdef', '89ab89ab89ab89ab')"
        new_id = f"(%(id_start)s || left({digits}, 3) || {variant} || substr({digits}, 5, 15))::uuid"
        attributes = [ATTRIBUTES] if self.attributes else []
        names = ["organisation_id", "id", key, *self.names, *attributes, "bulk_action_id", "created_at", "updated_at"]
        values = [*(self._new(field) for field in self.fields)]
        values += ["jsonb_strip_nulls(coalesce(s.attributes, '{}'))"] if self.attributes else []
        insertion = f"""
            INSERT INTO {self.entity.name} ({", ".join(names)})
            SELECT %(organisation_id)s, {new_id}, s.{key}, {", ".join(values)}, %(bulk_action_id)s, %(now)s, %(now)s
            FROM {self.staged} WHERE {RANGE} ORDER BY s.{key}
            ON CONFLICT (organisation_id, {key}) DO NOTHING RETURNING id, NULL::bigint AS row_number
        """
        return self.noting("created", insertion)

    def _new(self, field: Field) -> str:
        return f"s.{field.name}" if field.sql_default == "NULL" else f"coalesce(s.{field.name}, {field.sql_default})"

    def of_missing(self, columns: str) -> str:
        return (
            f"SELECT {columns} FROM {self.staged} WHERE {RANGE}"
            f" AND NOT EXISTS (SELECT FROM {self.entity.name} c WHERE {self.same} OFFSET 0)"
        )

    def of_known(self, condition: str, columns: str = "c.id, s.row_number") -> str:
        return (
            f"SELECT {columns} FROM {self.staged} CROSS JOIN LATERAL ({self.record} OFFSET 0) AS c"
            f" WHERE {RANGE} AND {condition}"
        )

    def noting(self, outcome: str, rows: str) -> str:
        """Keep the records of an outcome as one row of arrays, and return their number. `rows` has id, row_number."""
        return f"""
            WITH found AS ({rows}), noted AS (
                INSERT INTO bulk_action_outcomes
                    (organisation_id, bulk_action_id, outcome, part, record_count, record_ids, row_numbers)
                SELECT %(organisation_id)s, %(bulk_action_id)s, '{outcome}', %(part)s, count(*),
                    array_agg(id) FILTER (WHERE id IS NOT NULL),
                    array_agg(row_number) FILTER (WHERE row_number IS NOT NULL)
                FROM found HAVING count(*) > 0)
            SELECT count(*) FROM found
        """

    def rejecting(self, reason: str, rows: str) -> str:
        return (
            "INSERT INTO rejected_rows (organisation_id, bulk_action_id, row_number, reason, cells)"
            " SELECT %(organisation_id)s, %(bulk_action_id)s, row_number,"
            f" %({reason})s, coalesce(cells, '[]') FROM ({rows}) AS rows"
        )

    # What is known ---------------------------------------------------------------------------------

    def value(self, field: Field) -> str:
        """What a column holds after the update."""
        new, old, policy = f"s.{field.name}", f"c.{field.name}", self.rules.policy_of(field.name)
        if policy is Policy.LEAVE:
            return old
        if policy is Policy.FILL:
            return f"CASE WHEN {_is_blank(field, old)} THEN coalesce({new}, {old}) ELSE {old} END"
        if policy is Policy.ADD:
            union = f'ARRAY(SELECT DISTINCT tag COLLATE "C" FROM unnest({old} || {new}) AS tag ORDER BY 1)'
            return f"CASE WHEN {new} IS NULL OR {new} <@ {old} THEN {old} ELSE {union} END"
        return self._new(field) if self.rules.clears(field.name) else f"coalesce({new}, {old})"

    @property
    def adds_tags(self) -> bool:
        return TAGS in self.names and self.rules.policy_of(TAGS) is Policy.ADD

    def crowds(self) -> str:
        """Whether the record would have too many tags, together with those that it has."""
        if not self.adds_tags:
            return "false"
        both = "SELECT DISTINCT tag FROM unnest(c.tags || s.tags) AS tag"
        return (
            f"(s.tags IS NOT NULL AND cardinality(c.tags) + cardinality(s.tags) > {MAX_TAGS}"
            f" AND NOT s.tags <@ c.tags AND cardinality(ARRAY({both})) > {MAX_TAGS})"
        )

    def written(self) -> str:
        return f"{KNOWN} AND ({self.changes()}) AND NOT {self.crowds()}"

    def changes(self) -> str:
        """Whether anything would differ after the update."""
        parts = [self._change(field) for field in self.fields if self.rules.policy_of(field.name) is not Policy.LEAVE]
        if self.attributes:
            parts.append(f"({self.attributes_value()}) IS DISTINCT FROM c.attributes")
        return " OR ".join(parts) or "false"

    def _change(self, field: Field) -> str:
        if self.rules.policy_of(field.name) is Policy.OVERWRITE and not self.rules.clears(field.name):
            return f"(s.{field.name} IS NOT NULL AND s.{field.name} IS DISTINCT FROM c.{field.name})"
        return f"({self.value(field)}) IS DISTINCT FROM c.{field.name}"

    def attributes_value(self) -> str:
        """The record's own attributes, the file's under them where they only fill, over them where they overwrite."""
        by_policy = {policy: self._attributes_with(policy) for policy in (Policy.FILL, Policy.OVERWRITE)}
        staged = "coalesce(s.attributes, '{}')"
        under = f"({staged} - {_texts(name for name in self.attributes if name not in by_policy[Policy.FILL])})"
        over = f"({staged} - {_texts(name for name in self.attributes if name not in by_policy[Policy.OVERWRITE])})"
        return f"jsonb_strip_nulls({under} || c.attributes || {over})"

    def _attributes_with(self, policy: Policy) -> list[str]:
        return [name for name in self.attributes if self.rules.policy_of(ATTRIBUTE_PREFIX + name) is policy]

    def lock(self) -> str:
        """The places of rows and records that differ, locked in the order of keys; the number of a row that crowds."""
        key = self.entity.key_column
        return f"""
            SELECT s.place::text, c.record_place::text, CASE WHEN {self.crowds()} THEN s.row_number END
            FROM (SELECT s.ctid AS place, s.* FROM {self.staged} WHERE {RANGE} ORDER BY s.{key} OFFSET 0) AS s
            CROSS JOIN LATERAL ({self.record} AND {KNOWN} AND ({self.changes()}) FOR UPDATE) AS c
        """

    def keep_before(self) -> str:
        """What records were, in the columns that this import may change."""
        shown = [*(name for name in self.names), *([ATTRIBUTES] if self.attributes else [])]
        images = ", ".join(f"'{name}', c.{name}" for name in shown)
        return f"""
            INSERT INTO before_images
                (organisation_id, bulk_action_id, record_id, "values", updated_at, written_at)
            SELECT %(organisation_id)s, %(bulk_action_id)s, c.id, jsonb_build_object({images}), c.updated_at, %(now)s
            FROM {PAIRS} JOIN {self.entity.name} c ON c.ctid = pair.record_place
            WHERE c.organisation_id = %(organisation_id)s ORDER BY c.id
        """

    def update(self) -> str:
        shown = [f"{field.name} = {self.value(field)}" for field in self.fields]
        shown += [f"attributes = {self.attributes_value()}"] if self.attributes else []
        change = f"""
            UPDATE {self.entity.name} c SET {", ".join(shown)}, updated_at = %(now)s
            FROM {PAIRS} JOIN {self.staged} ON s.ctid = pair.place
            WHERE c.ctid = pair.record_place AND c.organisation_id = %(organisation_id)s
            RETURNING c.id, s.row_number
        """
        return self.noting("updated", change)


# Locked records stay where they are, so their places find them faster than any index.
PAIRS = "unnest(%(places)s::tid[], %(record_places)s::tid[]) AS pair (place, record_place)"


def _is_attribute(name: str) -> bool:
    return name.startswith(ATTRIBUTE_PREFIX)


def _is_blank(field: Field, value: str) -> str:
    return f"{value} IS NULL" if field.sql_default == "NULL" else f"{value} = {field.sql_default}"


def _texts(names: Iterable[str]) -> str:
    """An array of texts as SQL, safe to stand in a statement with parameters."""
    quoted = ["'" + name.replace("'", "''").replace("%", "%%") + "'" for name in names]
    return f"ARRAY[{', '.join(quoted)}]::text[]"
