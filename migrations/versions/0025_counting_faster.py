"""Ids of counted beacons in packs, one for each second and batch."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from alembic import op

from migrations.rls import APP_ROLE, protect

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("seen")
    op.create_table(
        "seen",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("second", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Uuid(), nullable=False),
        sa.Column("ids", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "second", "part", name="pk_seen"),
        postgresql_partition_by="RANGE (second)",
    )
    op.execute("CREATE TABLE seen_default PARTITION OF seen DEFAULT")
    protect("seen")
    # Chance cannot be compressed, and trying takes longer than writing it.
    for table in ("seen", "seen_default"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN ids SET STORAGE EXTERNAL")
    _replace_make_partitions(MAKE_PARTITIONS)
    op.execute("SELECT footfall_make_partitions(current_date - 3, current_date + 7)")


def downgrade() -> None:
    op.drop_table("seen")
    op.create_table(
        "seen",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_seen"),
        postgresql_partition_by="RANGE (id)",
    )
    op.execute("CREATE TABLE seen_default PARTITION OF seen DEFAULT")
    protect("seen")
    _replace_make_partitions(import_module("migrations.versions.0016_analytics").MAKE_SEEN_PARTITIONS)
    op.execute("SELECT footfall_make_partitions(current_date - 3, current_date + 7)")


def _replace_make_partitions(statement: str) -> None:
    op.execute("DROP FUNCTION footfall_make_partitions(date, date)")
    op.execute(statement)
    op.execute("REVOKE ALL ON FUNCTION footfall_make_partitions(date, date) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION footfall_make_partitions(date, date) TO {APP_ROLE}")


# Packs that already lie in the default partition move along, or PostgreSQL would refuse to attach the new one.
MAKE_PARTITIONS = """
CREATE FUNCTION footfall_make_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $body$
DECLARE
    made integer := 0;
    partition text;
    opens bigint;
    closes bigint;
    day date;
BEGIN
    IF last_day - first_day > 800 THEN
        RAISE EXCEPTION 'At most 800 days at a time.';
    END IF;
    FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        partition := 'seen_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        opens := (day - date '1970-01-01')::bigint * 86400;
        closes := opens + 86400;
        LOCK TABLE seen_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE seen INCLUDING DEFAULTS INCLUDING STORAGE)', partition);
        EXECUTE format('ALTER TABLE %I ALTER COLUMN organisation_id SET STATISTICS 0', partition);
        EXECUTE format(
            'WITH moved AS (DELETE FROM seen_default WHERE second >= %1$s AND second < %2$s RETURNING *)'
            ' INSERT INTO %3$I SELECT * FROM moved',
            opens, closes, partition
        );
        EXECUTE format('ALTER TABLE seen ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', partition, opens, closes);
        made := made + 1;
    END LOOP;
    RETURN made;
END $body$
"""
