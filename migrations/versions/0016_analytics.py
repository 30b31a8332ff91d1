"""What a beacon tells beyond its page, visits, and the roll-ups of every dimension."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from alembic import op

from migrations.rls import APP_ROLE, lend, protect

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NEW_TABLES = ("dimension_roll_ups", "visits", "raw_chunks", "drop_counts", "identities", "refused_merges")
OLD_TABLES = ("pageviews", "referrer_roll_ups", "roll_up_zones")
SITE_COUNTS = ("visit_count", "bounce_count", "visit_ms", "event_count", "engaged_ms")
PAGE_COUNTS = ("entry_count", "exit_count", "bounce_count", "engaged_ms", "scroll_sum", "scroll_count")


def upgrade() -> None:
    _give_sites_a_zone()
    _add_counts("site_roll_ups", SITE_COUNTS)
    _add_counts("page_roll_ups", PAGE_COUNTS)
    _create_dimension_roll_ups()
    _create_visits()
    _create_raw_chunks()
    _create_drop_counts()
    _create_identities()
    for table in NEW_TABLES:
        protect(table)
    lend("footfall_prune_visits(before timestamptz) RETURNS void", PRUNE_VISITS, "sql VOLATILE")
    lend("footfall_unchecked_organisations(since timestamptz) RETURNS SETOF uuid", UNCHECKED_ORGANISATIONS)
    for table in ("visits", "site_roll_ups", "page_roll_ups", "dimension_roll_ups"):
        # Rows are changed again and again: with room beside them, no index has to be touched.
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")
    for table in OLD_TABLES:
        op.drop_table(table)
    _replace_make_partitions(MAKE_SEEN_PARTITIONS)


def downgrade() -> None:
    for table in ("site_roll_ups", "page_roll_ups"):
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    _create_old_tables()
    _replace_make_partitions(import_module("migrations.versions.0002_visits").MAKE_PARTITIONS)
    op.execute("DROP FUNCTION footfall_unchecked_organisations(timestamptz)")
    op.execute("DROP FUNCTION footfall_prune_visits(timestamptz)")
    for table in reversed(NEW_TABLES):
        op.drop_table(table)
    site_columns = ("raw_complete_from", "cut_zone", "time_zone")
    for table, columns in (("page_roll_ups", PAGE_COUNTS), ("site_roll_ups", SITE_COUNTS), ("sites", site_columns)):
        for column in columns:
            op.drop_column(table, column)


def _replace_make_partitions(statement: str) -> None:
    op.execute("DROP FUNCTION footfall_make_partitions(date, date)")
    op.execute(statement)
    op.execute("REVOKE ALL ON FUNCTION footfall_make_partitions(date, date) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION footfall_make_partitions(date, date) TO {APP_ROLE}")


def _give_sites_a_zone() -> None:
    """`cut_zone` is the zone in which the days and months counted so far begin; a change waits for a rebuild.

    `raw_complete_from` is the moment from which on retention has taken no raw rows.
    """
    op.add_column("sites", sa.Column("cut_zone", sa.Text(), nullable=True))
    op.add_column("sites", sa.Column("time_zone", sa.Text(), nullable=True))
    op.execute("UPDATE sites SET time_zone = o.time_zone FROM organisations o WHERE o.id = sites.organisation_id")
    op.alter_column("sites", "time_zone", nullable=False)
    op.add_column("sites", sa.Column("raw_complete_from", TIME, nullable=True))


def _add_counts(table: str, columns: tuple[str, ...]) -> None:
    """Counts that begin at zero for what was counted before."""
    for column in columns:
        op.add_column(table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
        op.alter_column(table, column, server_default=None)


def _create_dimension_roll_ups() -> None:
    op.create_table(
        "dimension_roll_ups",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("grain", sa.String(32), nullable=False),
        sa.Column("bucket_at", TIME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.Column("visit_count", sa.BigInteger(), nullable=False),
        sa.Column("bounce_count", sa.BigInteger(), nullable=False),
        sa.Column("visit_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.Column("visitors", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint(
            "organisation_id", "site_id", "dimension", "grain", "bucket_at", "value", name="pk_dimension_roll_ups"
        ),
    )


def _create_visits() -> None:
    op.create_table(
        "visits",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("entry_at", TIME, nullable=False),
        sa.Column("exit_at", TIME, nullable=False),
        sa.Column("visit", sa.BigInteger(), nullable=False),
        sa.Column("pageview_count", sa.Integer(), nullable=False),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("product_count", sa.Integer(), nullable=False),
        sa.Column("entry_page", sa.Text(), nullable=False),
        sa.Column("exit_page", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "visitor", "started_at", name="pk_visits"),
    )


def _create_raw_chunks() -> None:
    op.create_table(
        "raw_chunks",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("chunk", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("from_at", TIME, nullable=False),
        sa.Column("to_at", TIME, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "kind", "chunk", name="pk_raw_chunks"),
    )
    # Parquet is compressed already: trying again costs time and gains nothing.
    op.execute("ALTER TABLE raw_chunks ALTER COLUMN content SET STORAGE EXTERNAL")


def _create_drop_counts() -> None:
    op.create_table(
        "drop_counts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("drop_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "day", "reason", name="pk_drop_counts"),
    )


def _create_identities() -> None:
    """Who a visitor said they are; what was named first wins, and others are listed."""
    op.create_table(
        "identities",
        *_visitor_columns(),
        sa.Column("first_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "visitor", name="pk_identities"),
    )
    op.create_index("ix_identities_identity", "identities", ["organisation_id", "identity"])
    op.create_table(
        "refused_merges",
        *_visitor_columns(),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "visitor", "identity", name="pk_refused_merges"),
    )


def _visitor_columns() -> list[sa.Column[object]]:
    return [
        *[sa.Column(name, sa.Uuid(), nullable=False) for name in ("organisation_id", "site_id")],
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.Text(collation="C"), nullable=False),
    ]


def _create_old_tables() -> None:
    old = import_module("migrations.versions.0002_visits")
    uuids = ("organisation_id", "id", "site_id", "page_id")
    texts = ("visitor", "page_url", "referrer", "screen")
    op.create_table(
        "pageviews",
        *[sa.Column(name, sa.Uuid(), nullable=False) for name in uuids],
        *[sa.Column(name, TIME, nullable=False) for name in ("visited_at", "received_at")],
        *[sa.Column(name, sa.Text(), nullable=False) for name in texts],
        sa.PrimaryKeyConstraint("organisation_id", "visited_at", "id", name="pk_pageviews"),
        postgresql_partition_by="RANGE (visited_at)",
    )
    op.execute("CREATE TABLE pageviews_default PARTITION OF pageviews DEFAULT")
    op.create_table(
        "referrer_roll_ups",
        *old._bucket_columns(),
        sa.Column("referrer", sa.Text(), nullable=False),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "organisation_id", "site_id", "grain", "bucket_at", "referrer", name="pk_referrer_roll_ups"
        ),
    )
    op.create_table(
        "roll_up_zones",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", name="pk_roll_up_zones"),
    )
    for table in OLD_TABLES:
        protect(table)


UNCHECKED_ORGANISATIONS = """
    SELECT DISTINCT organisation_id FROM sites s WHERE NOT EXISTS (
        SELECT 1 FROM jobs j
        WHERE j.organisation_id = s.organisation_id AND j.kind = 'check_roll_ups' AND j.created_at > since
    )
"""
# Not by the time of the visit: a server may report last month's in parts, and they must stay whole.
PRUNE_VISITS = "DELETE FROM visits WHERE changed_at < before"
# Rows that already lie in the default partition move along, or PostgreSQL would refuse to attach the new one.
MAKE_SEEN_PARTITIONS = """
CREATE FUNCTION footfall_make_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $body$
DECLARE
    made integer := 0;
    partition text;
    opens text;
    closes text;
    day date;
BEGIN
    IF last_day - first_day > 800 THEN
        RAISE EXCEPTION 'At most 800 days at a time.';
    END IF;
    FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        partition := 'seen_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        opens := rpad(lpad(to_hex((day - date '1970-01-01')::bigint * 86400000), 12, '0'), 32, '0');
        closes := rpad(lpad(to_hex((day + 1 - date '1970-01-01')::bigint * 86400000), 12, '0'), 32, '0');
        LOCK TABLE seen_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE seen INCLUDING DEFAULTS)', partition);
        EXECUTE format('ALTER TABLE %I ALTER COLUMN organisation_id SET STATISTICS 0', partition);
        EXECUTE format(
            'WITH moved AS (DELETE FROM seen_default WHERE id >= %1$L AND id < %2$L RETURNING *)'
            ' INSERT INTO %3$I SELECT * FROM moved',
            opens, closes, partition
        );
        EXECUTE format('ALTER TABLE seen ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, opens, closes);
        made := made + 1;
    END LOOP;
    RETURN made;
END $body$
"""
