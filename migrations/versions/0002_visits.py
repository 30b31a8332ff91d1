"""Sites, pageviews and their roll-ups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import APP_ROLE, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TENANT_TABLES = (
    "sites",
    "pages",
    "pageviews",
    "seen",
    "site_roll_ups",
    "page_roll_ups",
    "referrer_roll_ups",
    "roll_up_zones",
    "stream_positions",
    "dead_beacons",
)


def upgrade() -> None:
    _create_sites()
    _create_raw_rows()
    _create_roll_ups()
    _create_bookkeeping()
    for table in TENANT_TABLES:
        protect(table)
    _create_functions()
    op.execute("SELECT footfall_make_partitions(current_date - 3, current_date + 7)")


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_drop_seen_partitions(date)")
    op.execute("DROP FUNCTION footfall_make_partitions(date, date)")
    for table in reversed(TENANT_TABLES):
        op.drop_table(table)


def _create_sites() -> None:
    op.create_table(
        "sites",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("site_key", sa.Text(), nullable=False),
        sa.Column("origins", JSONB(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_sites"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_sites_organisation_id"),
        sa.UniqueConstraint("organisation_id", "site_key", name="uq_sites_organisation_id_site_key"),
    )
    op.create_table(
        "pages",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_pages"),
    )


def _create_raw_rows() -> None:
    op.create_table(
        "pageviews",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("visited_at", TIME, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("page_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("visitor", sa.Text(), nullable=False),
        sa.Column("page_url", sa.Text(), nullable=False),
        sa.Column("referrer", sa.Text(), nullable=False),
        sa.Column("screen", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "visited_at", "id", name="pk_pageviews"),
        postgresql_partition_by="RANGE (visited_at)",
    )
    op.create_table(
        "seen",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_seen"),
        postgresql_partition_by="RANGE (id)",
    )
    # A time outside every partition must not stop the rest.
    op.execute("CREATE TABLE pageviews_default PARTITION OF pageviews DEFAULT")
    op.execute("CREATE TABLE seen_default PARTITION OF seen DEFAULT")


def _bucket_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("grain", sa.String(32), nullable=False),
        sa.Column("bucket_at", TIME, nullable=False),
    ]


def _create_roll_ups() -> None:
    bucket = ("organisation_id", "site_id", "grain", "bucket_at")
    op.create_table(
        "site_roll_ups",
        *_bucket_columns(),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.Column("page_count", sa.BigInteger(), nullable=False),
        sa.Column("visitors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*bucket, name="pk_site_roll_ups"),
    )
    op.create_table(
        "page_roll_ups",
        *_bucket_columns(),
        sa.Column("page_id", sa.Uuid(), nullable=False),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*bucket, "page_id", name="pk_page_roll_ups"),
    )
    op.create_table(
        "referrer_roll_ups",
        *_bucket_columns(),
        sa.Column("referrer", sa.Text(), nullable=False),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*bucket, "referrer", name="pk_referrer_roll_ups"),
    )


def _create_bookkeeping() -> None:
    op.create_table(
        "roll_up_zones",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", name="pk_roll_up_zones"),
    )
    op.create_table(
        "stream_positions",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "name", name="pk_stream_positions"),
    )
    op.create_table(
        "dead_beacons",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_dead_beacons"),
    )


def _create_functions() -> None:
    """The app's role may not create or drop tables, so the owner lends it these two."""
    op.execute(MAKE_PARTITIONS)
    op.execute(DROP_SEEN_PARTITIONS)
    for function in ("footfall_make_partitions(date, date)", "footfall_drop_seen_partitions(date)"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {APP_ROLE}")


# Rows that already lie in the default partition move along, or PostgreSQL would refuse to attach the new one.
MAKE_PARTITIONS = """
CREATE FUNCTION footfall_make_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $body$
DECLARE
    made integer := 0;
    parent text;
    key text;
    partition text;
    opens text;
    closes text;
    day date;
BEGIN
    IF last_day - first_day > 800 THEN
        RAISE EXCEPTION 'At most 800 days at a time.';
    END IF;
    FOREACH parent IN ARRAY ARRAY['pageviews', 'seen'] LOOP
        key := CASE parent WHEN 'seen' THEN 'id' ELSE 'visited_at' END;
        FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
            partition := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(partition) IS NOT NULL;
            IF parent = 'seen' THEN
                opens := rpad(lpad(to_hex((day - date '1970-01-01')::bigint * 86400000), 12, '0'), 32, '0');
                closes := rpad(lpad(to_hex((day + 1 - date '1970-01-01')::bigint * 86400000), 12, '0'), 32, '0');
            ELSE
                opens := day || ' 00:00:00+00';
                closes := (day + 1) || ' 00:00:00+00';
            END IF;
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', partition, parent);
            EXECUTE format('ALTER TABLE %I ALTER COLUMN organisation_id SET STATISTICS 0', partition);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)'
                ' INSERT INTO %5$I SELECT * FROM moved',
                parent || '_default', key, opens, closes, partition
            );
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition, opens, closes
            );
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $body$
"""

# Whatever is asked, ids that a beacon could still carry are kept.
DROP_SEEN_PARTITIONS = """
CREATE FUNCTION footfall_drop_seen_partitions(before_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $body$
DECLARE
    dropped integer := 0;
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'seen'::regclass AND c.relname ~ '^seen_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < least(before_day, current_date - 3)
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $body$
"""
