"""Contacts with all their fields, products, the trash, tags, outcomes of bulk actions, saved filters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import grant, protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
KEY = sa.Text(collation="C")
TEXTS = sa.ARRAY(sa.Text())
NO_TEXTS = sa.text("'{}'")
NO_ATTRIBUTES = sa.text("'{}'")
OLD_CELLS = ("first_name", "last_name", "phone", "company", "job_title", "city", "country")

CONTACT_FIELDS = (
    ("first_name", sa.Text()), ("last_name", sa.Text()), ("phone", KEY), ("company", sa.Text()),
    ("job_title", sa.Text()), ("street", sa.Text()), ("postal_code", sa.Text()), ("city", sa.Text()),
    ("region", sa.Text()), ("country", sa.Text()), ("tags", TEXTS), ("owner_id", sa.Uuid()), ("notes", sa.Text()),
)  # fmt: skip
PRODUCT_FIELDS = (
    ("name", sa.Text()), ("description", sa.Text()), ("price", sa.Numeric(19, 4)), ("currency", sa.Text()),
    ("is_active", sa.Boolean()), ("tags", TEXTS),
)  # fmt: skip


def upgrade() -> None:
    _widen_contacts()
    _create_products()
    for singular in ("contact", "product"):
        _create_tags(singular)
    op.drop_table("staged_contacts")
    _create_staging("contacts", "email", CONTACT_FIELDS)
    _create_staging("products", "sku", PRODUCT_FIELDS)
    _create_trash("contacts", "email", CONTACT_FIELDS, ())
    _create_trash("products", "sku", PRODUCT_FIELDS, (("image_id", sa.Uuid()),))
    _widen_bulk_actions()
    _create_outcomes()
    _create_lists()


def downgrade() -> None:
    for table in ("list_columns", "saved_filters", "attribute_names", "before_images", "bulk_action_outcomes"):
        op.drop_table(table)
    for table in ("deleted_products", "deleted_contacts", "staged_products", "staged_contacts"):
        op.drop_table(table)
    for singular in ("product", "contact"):
        for verb in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER tags_{verb} ON {singular}s")
        for verb in ("insert", "update", "delete"):
            op.execute(f"DROP FUNCTION footfall_{singular}_tags_{verb}()")
        op.drop_table(f"{singular}_tags")
    op.drop_table("products")
    _narrow_contacts()
    _narrow_bulk_actions()


def _widen_contacts() -> None:
    for name, kind in CONTACT_FIELDS:
        if name not in (*OLD_CELLS, "tags"):
            op.add_column("contacts", sa.Column(name, kind))
    op.execute('ALTER TABLE contacts ALTER COLUMN phone TYPE text COLLATE "C"')
    op.add_column("contacts", sa.Column("tags", TEXTS, nullable=False, server_default=NO_TEXTS))
    op.add_column("contacts", sa.Column("attributes", JSONB(), nullable=False, server_default=NO_ATTRIBUTES))
    op.add_column("contacts", sa.Column("bulk_action_id", sa.Uuid()))
    op.create_index("ix_contacts_organisation_id_updated_at_id", "contacts", ["organisation_id", "updated_at", "id"])
    for name in ("phone", "owner_id", "bulk_action_id"):
        _index_filled("contacts", name)


def _narrow_contacts() -> None:
    for name in ("updated_at", "phone", "owner_id", "bulk_action_id"):
        op.drop_index(f"ix_contacts_organisation_id_{name}_id", "contacts")
    for name in ("bulk_action_id", "attributes", "tags"):
        op.drop_column("contacts", name)
    for name, _ in CONTACT_FIELDS:
        if name not in (*OLD_CELLS, "tags"):
            op.drop_column("contacts", name)
    op.execute("ALTER TABLE contacts ALTER COLUMN phone TYPE text")
    op.create_table(
        "staged_contacts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("email_key", KEY, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in OLD_CELLS),
    )
    index = "ix_staged_contacts_organisation_id_bulk_action_id_bucket"
    op.create_index(index, "staged_contacts", ["organisation_id", "bulk_action_id", "bucket"])
    grant("staged_contacts")


def _create_products() -> None:
    op.create_table(
        "products",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        *(sa.Column(name, kind) for name, kind in PRODUCT_FIELDS if name not in {"is_active", "tags"}),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("tags", TEXTS, nullable=False, server_default=NO_TEXTS),
        sa.Column("attributes", JSONB(), nullable=False, server_default=NO_ATTRIBUTES),
        sa.Column("image_id", sa.Uuid()),
        sa.Column("sku_key", KEY, nullable=False),
        sa.Column("name_key", KEY, sa.Computed("lower(coalesce(name, ''))", persisted=True), nullable=False),
        sa.Column("price_key", sa.Numeric(19, 4), sa.Computed("coalesce(price, -1)", persisted=True), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_products"),
        sa.UniqueConstraint("organisation_id", "sku_key", name="uq_products_organisation_id_sku_key"),
    )
    for name in ("name_key", "price_key", "updated_at"):
        op.create_index(f"ix_products_organisation_id_{name}_id", "products", ["organisation_id", name, "id"])
    _index_filled("products", "bulk_action_id")
    protect("products")


def _index_filled(table: str, name: str) -> None:
    """Hardly any record may have one, and those without cost nothing."""
    op.create_index(
        f"ix_{table}_organisation_id_{name}_id",
        table,
        ["organisation_id", name, "id"],
        postgresql_where=sa.text(f"{name} IS NOT NULL"),
    )


def _create_tags(singular: str) -> None:
    """An index of tags in the order of ids, which PostgreSQL uses below a policy, as it would no GIN index."""
    table = f"{singular}_tags"
    op.create_table(
        table,
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("tag", KEY, nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "tag", "record_id", name=f"pk_{table}"),
    )
    protect(table)
    add = f"""INSERT INTO {table} (organisation_id, tag, record_id)
        SELECT n.organisation_id, t.tag, n.id FROM new_rows n, unnest(n.tags) AS t (tag)
        WHERE n.tags <> '{{}}' ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING;"""
    remove = f"""DELETE FROM {table} t USING
        (SELECT o.organisation_id, tag, o.id FROM old_rows o, unnest(o.tags) AS old_tags (tag) WHERE o.tags <> '{{}}'
         EXCEPT
         SELECT n.organisation_id, tag, n.id FROM new_rows n, unnest(n.tags) AS new_tags (tag)) AS gone
        WHERE t.organisation_id = gone.organisation_id AND t.tag = gone.tag AND t.record_id = gone.id;"""
    drop = f"""DELETE FROM {table} t USING
        (SELECT o.organisation_id, tag, o.id FROM old_rows o, unnest(o.tags) AS old_tags (tag)) AS gone
        WHERE t.organisation_id = gone.organisation_id AND t.tag = gone.tag AND t.record_id = gone.id;"""
    rows = {"insert": "NEW TABLE AS new_rows", "delete": "OLD TABLE AS old_rows"}
    rows["update"] = f"{rows['insert']} {rows['delete']}"
    for verb, body in (("insert", add), ("update", remove + add), ("delete", drop)):
        function = f"footfall_{singular}_tags_{verb}"
        op.execute(
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$"
            f" BEGIN {body} RETURN NULL; END $body$"
        )
        op.execute(
            f"CREATE TRIGGER tags_{verb} AFTER {verb.upper()} ON {singular}s REFERENCING {rows[verb]}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )


def _create_staging(entity: str, key: str, fields: tuple[tuple[str, object], ...]) -> None:
    """No policy: PostgreSQL refuses COPY under one. No key: rows are written once and read by bucket."""
    table = f"staged_{entity}"
    op.create_table(
        table,
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column(f"{key}_key", KEY, nullable=False),
        sa.Column(key, sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text() if kind is KEY else kind, nullable=True) for name, kind in fields),
        sa.Column("attributes", JSONB(), nullable=True),
        sa.Column("cells", JSONB(), nullable=True),
    )
    index = f"ix_{table}_organisation_id_bulk_action_id_bucket"
    op.create_index(index, table, ["organisation_id", "bulk_action_id", "bucket"])
    grant(table)


def _create_trash(
    entity: str, key: str, fields: tuple[tuple[str, object], ...], more: tuple[tuple[str, object], ...]
) -> None:
    table = f"deleted_{entity}"
    op.create_table(
        table,
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(key, sa.Text(), nullable=False),
        *(sa.Column(name, kind, nullable=name not in {"tags", "is_active"}) for name, kind in fields),
        sa.Column("attributes", JSONB(), nullable=False),
        *(sa.Column(name, kind) for name, kind in more),
        sa.Column(f"{key}_key", KEY, nullable=False),
        sa.Column("bulk_action_id", sa.Uuid()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("deletion_id", sa.Uuid()),
        sa.Column("deleted_by", sa.Uuid()),
        sa.Column("deleted_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=f"pk_{table}"),
    )
    for name in ("deleted_at", "deletion_id"):
        op.create_index(f"ix_{table}_organisation_id_{name}_id", table, ["organisation_id", name, "id"])
    protect(table)


BULK_COUNTS = ("skipped", "succeeded", "failed")


def _widen_bulk_actions() -> None:
    op.add_column("bulk_actions", sa.Column("rules", JSONB(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("bulk_actions", sa.Column("parameters", JSONB(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("bulk_actions", sa.Column("selection", JSONB()))
    op.add_column("bulk_actions", sa.Column("selected_at", TIME))
    op.add_column("bulk_actions", sa.Column("source_id", sa.Uuid()))
    op.add_column("bulk_actions", sa.Column("is_dry_run", sa.Boolean(), nullable=False, server_default=sa.false()))
    for outcome in BULK_COUNTS:
        column = sa.Column(f"{outcome}_count", sa.BigInteger(), nullable=False, server_default="0")
        op.add_column("bulk_actions", column)
        column = sa.Column(f"{outcome}_count", sa.Integer(), nullable=False, server_default="0")
        op.add_column("bulk_action_chunks", column)
    op.add_column("bulk_action_chunks", sa.Column("record_ids", sa.ARRAY(sa.Uuid())))
    op.create_index("ix_bulk_actions_organisation_id_file_sha256", "bulk_actions", ["organisation_id", "file_sha256"])


def _narrow_bulk_actions() -> None:
    op.drop_index("ix_bulk_actions_organisation_id_file_sha256", "bulk_actions")
    for name in ("rules", "parameters", "selection", "selected_at", "source_id", "is_dry_run"):
        op.drop_column("bulk_actions", name)
    for outcome in BULK_COUNTS:
        op.drop_column("bulk_actions", f"{outcome}_count")
        op.drop_column("bulk_action_chunks", f"{outcome}_count")
    op.drop_column("bulk_action_chunks", "record_ids")


def _create_outcomes() -> None:
    op.create_table(
        "bulk_action_outcomes",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("record_ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("row_numbers", sa.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("reasons", TEXTS, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "bulk_action_id", "outcome", "part", name="pk_bulk_action_outcomes"),
        _belongs_to_bulk_action("bulk_action_outcomes"),
    )
    op.create_table(
        "before_images",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("values", JSONB(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("written_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "bulk_action_id", "record_id", name="pk_before_images"),
    )
    protect("bulk_action_outcomes")
    protect("before_images")


def _belongs_to_bulk_action(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organisation_id", "bulk_action_id"],
        ["bulk_actions.organisation_id", "bulk_actions.id"],
        ondelete="CASCADE",
        name=f"fk_{table}_organisation_id_bulk_action_id",
    )


def _create_lists() -> None:
    op.create_table(
        "attribute_names",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "entity", "name", name="pk_attribute_names"),
    )
    op.create_table(
        "saved_filters",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("arguments", JSONB(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_saved_filters"),
        sa.UniqueConstraint("organisation_id", "entity", "name", name="uq_saved_filters_organisation_id_entity_name"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_saved_filters_organisation_id"),
    )
    op.create_table(
        "list_columns",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("names", JSONB(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "user_id", "entity", name="pk_list_columns"),
    )
    for table in ("attribute_names", "saved_filters", "list_columns"):
        protect(table)
