"""Who did something on an organisation's websites: identities of visitors, from raw rows.

Raw rows know visitors by number; only those matter who said who they are, or whom a site calls by their address. So
DuckDB is given their numbers, counts what those did, and gives back as many rows at most, however many others there
were. One person may be several visitors, in other browsers and on other sites: what all of them did is added up.

From the moment at which somebody else was named on a visitor, nobody can say whose activity it is: it is no one's deed.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy
import polars as pl
from sqlalchemy import text

from webapp.extensions import db, driver_connection
from webapp.lib.keys import fold_key
from webapp.visits.backlog import Kind
from webapp.visits.behaviour.called import count_called, list_called
from webapp.visits.behaviour.conditions import Behaviour, What
from webapp.visits.behaviour.spans import Deed
from webapp.visits.counting.copying import copy_in
from webapp.visits.models import Site
from webapp.visits.queries import list_sites
from webapp.visits.questions import PAGE, Filter, Operator, Question
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import Parameters, row_condition
from webapp.visits.raw.selection import IS_VISITOR
from webapp.visits.site_page.filters import origins_of, with_origins

COUNTED = pl.Schema({"visitor": pl.Int64(), "done_count": pl.Int64()})
END = pl.Schema({"visitor": pl.Int64(), "end_ms": pl.Int64()})
BEFORE_END = "AND NOT EXISTS (SELECT 1 FROM ends WHERE ends.visitor = done.visitor AND ends.end_ms <= done.visited_ms)"


def stage_doers(organisation_id: UUID, deed: Deed, owner: str) -> int:
    """Fill the temporary table `staged_doers` with the identities of all who did it, and how often; their number.

    Whether it was often enough is for whoever knows which identities are one person. They say that by `owner`, an
    expression of SQL for whose an identity `{key}` is: another of one's own is nobody else.
    """
    sites = _sites_of(organisation_id, deed.behaviour)
    site_ids = [site.id for site in sites]
    identified = _list_identified(organisation_id, site_ids)
    called = list_called(organisation_id, site_ids).join(identified, on="visitor", how="anti")
    known = pl.concat([identified, called.select("visitor")])
    counted = _count_deeds(organisation_id, sites, deed, known, _list_ends(organisation_id, site_ids, owner))
    db.session.execute(text(MAKE_STAGED))
    db.session.execute(text("TRUNCATE staged_deeds, staged_called, staged_doers"))
    copy_in(driver_connection(), "staged_deeds", counted)
    by_address = called.join(counted, on="visitor").select("identity", "done_count")
    copy_in(driver_connection(), "staged_called", by_address)
    db.session.execute(text("ANALYZE staged_deeds"))
    given = {"organisation_id": organisation_id, "site_ids": site_ids}
    db.session.execute(text(STAGE_DOERS), given)
    db.session.execute(text("ANALYZE staged_doers"))
    return int(db.session.execute(text("SELECT count(*) FROM staged_doers")).scalar_one())


def has_identities(organisation_id: UUID) -> bool:
    """Whether it was ever said who a visitor is."""
    found = db.session.execute(text(HAS_IDENTITIES), {"organisation_id": organisation_id})
    return bool(found.scalar_one()) or count_called(organisation_id) > 0


def _sites_of(organisation_id: UUID, behaviour: Behaviour) -> list[Site]:
    sites = list_sites(organisation_id)
    return [site for site in sites if behaviour.site_id in {None, site.id}]


def _list_identified(organisation_id: UUID, site_ids: Sequence[UUID]) -> pl.DataFrame:
    """The numbers of all who said who they are: as one value, since a million rows would take seconds to receive."""
    given = {"organisation_id": organisation_id, "site_ids": list(site_ids)}
    found = driver_connection().execute(IDENTIFIED, given, binary=True).fetchone()
    content = found[0] if found and found[0] else b""
    return pl.DataFrame({"visitor": numpy.frombuffer(content, ">i8").astype(numpy.int64)})


def _list_ends(organisation_id: UUID, site_ids: Sequence[UUID], owner: str) -> pl.DataFrame:
    """Visitors on whom somebody else was named, and when first."""
    statement = ENDS.format(named=owner.format(key="r.identity"), first=owner.format(key="i.identity"))
    found = db.session.execute(text(statement), {"organisation_id": organisation_id, "site_ids": list(site_ids)})
    return pl.DataFrame([tuple(row) for row in found], schema=END, orient="row")


def _count_deeds(
    organisation_id: UUID, sites: Sequence[Site], deed: Deed, identified: pl.DataFrame, ends: pl.DataFrame
) -> pl.DataFrame:
    """How often each of the identified visitors did it, before their end where they have one."""
    if identified.is_empty() or deed.start >= deed.end:
        return pl.DataFrame(schema=COUNTED)
    question = Question(organisation_id, tuple(site.id for site in sites), deed.start, deed.end)

    def ask(reading: Reading) -> pl.DataFrame:
        parameters = Parameters()
        condition = _condition(deed.behaviour, sites, parameters)
        tables = {"identified": identified} if ends.is_empty() else {"identified": identified, "ends": ends}
        statement = f"""
            SELECT visitor, count(*) AS done_count FROM {reading.selection.activity(parameters, condition)} AS done
            WHERE visitor IN (SELECT visitor FROM identified) {"" if ends.is_empty() else BEFORE_END} GROUP BY 1
        """  # noqa: S608  (put together from the engine's own words; values are parameters)
        return reading.frame(statement, parameters, COUNTED, **tables)

    return read(question, ask)


def _condition(behaviour: Behaviour, sites: Sequence[Site], parameters: Parameters) -> str:
    """Whether a row of activity is the deed."""
    if behaviour.operator is None:
        return IS_VISITOR
    if behaviour.what is What.PAGE:
        return f"kind = {Kind.PAGEVIEW.value} AND {_page_condition(behaviour, sites, parameters)}"
    if behaviour.what is What.PRODUCT:
        return f"kind = {Kind.PRODUCT.value} AND lower(name) = {parameters.add(fold_key(behaviour.value))}"
    return row_condition(Filter(behaviour.what.value, behaviour.operator, (behaviour.value,)), parameters)


def _page_condition(behaviour: Behaviour, sites: Sequence[Site], parameters: Parameters) -> str:
    """A path is one on each of the sites' origins; of a site that takes visits from anywhere, on any host."""
    operator, value = behaviour.operator or Operator.IS, behaviour.value
    [wanted] = with_origins([Filter(PAGE, operator, (value,))], origins_of(sites))
    return row_condition(wanted, parameters)


IDENTIFIED = """
    SELECT string_agg(int8send(visitor), '') FROM identities
    WHERE organisation_id = %(organisation_id)s AND site_id = ANY(%(site_ids)s::uuid[])
"""
ENDS = """
    SELECT i.visitor, CAST(floor(extract(epoch FROM min(r.at)) * 1000) AS bigint)
    FROM refused_merges r JOIN identities i
        ON i.organisation_id = r.organisation_id AND i.site_id = r.site_id AND i.visitor = r.visitor
    WHERE r.organisation_id = :organisation_id AND r.site_id = ANY(CAST(:site_ids AS uuid[]))
        AND ({named} = {first}) IS NOT TRUE
    GROUP BY i.visitor
"""
MAKE_STAGED = """
    CREATE TEMP TABLE IF NOT EXISTS staged_deeds (visitor bigint, done_count bigint) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_called (identity text COLLATE "C", done_count bigint) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_doers (identity text COLLATE "C", done_count bigint) ON COMMIT DELETE ROWS
"""
STAGE_DOERS = """
    INSERT INTO staged_doers (identity, done_count)
    SELECT identity, sum(done_count) FROM (
        SELECT i.identity, d.done_count FROM staged_deeds d
        JOIN identities i ON i.visitor = d.visitor
        WHERE i.organisation_id = :organisation_id AND i.site_id = ANY(CAST(:site_ids AS uuid[]))
        UNION ALL SELECT identity, done_count FROM staged_called
    ) AS did GROUP BY identity
"""
HAS_IDENTITIES = "SELECT EXISTS (SELECT 1 FROM identities WHERE organisation_id = :organisation_id)"
