"""Addresses that contacts had before, by which visits know them; the trash, when emptied, erases these, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0032"
down_revision = "0029"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
EMPTY_TRASH = "footfall_empty_trash(before timestamptz, most integer) RETURNS bigint"
TRASHES = ("deleted_contacts", "deleted_products")
GONE = [
    f"{table}_gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY("
    f"SELECT ctid FROM {table} WHERE deleted_at < before LIMIT most)) RETURNING *)"
    for table in TRASHES
]
TOTAL = " + ".join(f"(SELECT count(*) FROM {table}_gone)" for table in TRASHES)
KNOWN = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} k WHERE k.organisation_id = g.organisation_id AND k.{column} = g.email_key)"
    for table, column in (("identities", "identity"), ("refused_merges", "identity"), ("known_visitors", "visitor_key"))
)
AT_ONCE = "sql VOLATILE SET enable_nestloop = off"
OWN_KEYS = "SELECT g.organisation_id, g.email_key FROM deleted_contacts_gone g"
# A contact's last address is theirs unless somebody had it after them; those that they had before are in any case.
OWN_AND_FORMER_KEYS = f"""
    {OWN_KEYS}
    WHERE NOT EXISTS (
        SELECT 1 FROM former_contact_keys f WHERE f.organisation_id = g.organisation_id AND f.key = g.email_key
    )
    UNION SELECT organisation_id, key FROM former_gone
"""
FORMER_GONE = """
    former_gone AS (
        DELETE FROM former_contact_keys f USING deleted_contacts_gone g
        WHERE f.organisation_id = g.organisation_id AND f.record_id = g.id RETURNING f.organisation_id, f.key
    ),
"""


def erasures(keys: str) -> str:
    """Note whom visits know by these keys, unless a contact has that address again; forget what undoing kept."""
    return f"""
        keys AS ({keys}),
        known AS MATERIALIZED (
            SELECT DISTINCT g.organisation_id, g.email_key FROM keys g
            WHERE ({KNOWN})
                AND NOT EXISTS (
                    SELECT 1 FROM contacts c WHERE c.organisation_id = g.organisation_id AND c.email_key = g.email_key
                    OFFSET 0
                )
        ),
        to_erase AS (
            INSERT INTO erasures (organisation_id, identity, requested_at)
            SELECT k.organisation_id, k.email_key, now() FROM known k
            WHERE NOT EXISTS (
                SELECT 1 FROM deleted_contacts d
                WHERE d.organisation_id = k.organisation_id AND d.email_key = k.email_key AND d.deleted_at >= before
            )
            ON CONFLICT (organisation_id, identity) DO UPDATE SET requested_at = excluded.requested_at, erased_at = NULL
        ),
        images AS (
            DELETE FROM before_images b USING deleted_contacts_gone g
            WHERE b.organisation_id = g.organisation_id AND b.record_id = g.id
        )
    """


# The last to have an address has it: whoever takes it, or is deleted with it, takes it from whom it was of before.
KEEP_FORMER = """
    BEGIN
        DELETE FROM former_contact_keys f WHERE f.organisation_id = NEW.organisation_id AND f.key = NEW.email_key;
        INSERT INTO former_contact_keys (organisation_id, key, record_id, left_at)
        VALUES (OLD.organisation_id, OLD.email_key, NEW.id, NEW.updated_at)
        ON CONFLICT (organisation_id, key) DO UPDATE SET record_id = excluded.record_id, left_at = excluded.left_at;
        RETURN NULL;
    END
"""
TAKE_FORMER = """
    BEGIN
        IF EXISTS (SELECT FROM former_contact_keys) THEN
            DELETE FROM former_contact_keys f USING old_rows o
            WHERE f.organisation_id = o.organisation_id AND f.key = o.email_key;
        END IF;
        RETURN NULL;
    END
"""


def upgrade() -> None:
    op.create_table(
        "former_contact_keys",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("left_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "key", name="pk_former_contact_keys"),
    )
    op.create_index(
        "ix_former_contact_keys_organisation_id_record_id", "former_contact_keys", ["organisation_id", "record_id"]
    )
    protect("former_contact_keys")
    op.create_index(
        "ix_deleted_contacts_organisation_id_email_key", "deleted_contacts", ["organisation_id", "email_key"]
    )
    op.execute(
        f"CREATE FUNCTION footfall_keep_former_key() RETURNS trigger LANGUAGE plpgsql AS $body${KEEP_FORMER}$body$"
    )
    op.execute(
        "CREATE TRIGGER former_key_kept AFTER UPDATE OF email_key ON contacts FOR EACH ROW"
        " WHEN (OLD.email_key IS DISTINCT FROM NEW.email_key) EXECUTE FUNCTION footfall_keep_former_key()"
    )
    op.execute(
        "CREATE FUNCTION footfall_take_former_keys() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off"
        f" AS $body${TAKE_FORMER}$body$"
    )
    op.execute(
        "CREATE TRIGGER former_keys_taken AFTER DELETE ON contacts REFERENCING OLD TABLE AS old_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION footfall_take_former_keys()"
    )
    _lend_empty_trash(f"{FORMER_GONE}{erasures(OWN_AND_FORMER_KEYS)}")


def downgrade() -> None:
    _lend_empty_trash(erasures(OWN_KEYS))
    for trigger, function in (
        ("former_keys_taken", "footfall_take_former_keys"),
        ("former_key_kept", "footfall_keep_former_key"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON contacts")
        op.execute(f"DROP FUNCTION {function}()")
    op.drop_index("ix_deleted_contacts_organisation_id_email_key", "deleted_contacts")
    op.drop_table("former_contact_keys")


def _lend_empty_trash(steps: str) -> None:
    op.execute("DROP FUNCTION footfall_empty_trash(timestamptz, integer)")
    lend(EMPTY_TRASH, f"WITH {', '.join(GONE)}, {steps} SELECT {TOTAL}", AT_ONCE)
