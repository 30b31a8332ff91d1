"""One site whose raw rows cannot be looked after stops nobody else's upkeep, and is told."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.visits.raw.made_rows import START, make_rows, write_rows
from tests.visits.support import add_site, rows_of, scalar
from webapp.config import Settings
from webapp.lib.storage import storage_at
from webapp.visits.models import Site
from webapp.visits.raw import tasks, upkeep
from webapp.visits.raw.guarding import UpkeepError
from webapp.visits.raw.layout import Written
from webapp.visits.raw.sealing import NewFile, Sealer

SEALED = "SELECT DISTINCT site_id FROM sealed_files WHERE state = 'sealed'"


@pytest.fixture
def sites(app_context: APIFlask, organisation_id: UUID) -> list[Site]:
    """Three with chunks that are old enough."""
    sites = [add_site(app_context, organisation_id) for _ in range(3)]
    for site in sites:
        fill(site)
    return sites


def fill(site: Site) -> None:
    random = Random(7)
    write_rows(site.organisation_id, site.id, make_rows(random, 20, START, 3), random)


def test_wrong_sums_of_one_site_are_told_and_the_others_are_sealed(
    sites: list[Site], services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_back = Sealer._read_back

    def of_one(self: Sealer, file: NewFile, kind: object) -> Written | None:
        return None if str(sites[0].id) in file.key else read_back(self, file, kind)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Sealer, "_read_back", of_one)
        with pytest.raises(UpkeepError, match=rf"seal failed for site {sites[0].id}.*WrongSumsError"):
            tasks.look_after_raw_rows.fn()
    assert {site_id for (site_id,) in rows_of(services, SEALED)} == {site.id for site in sites[1:]}
    tasks.look_after_raw_rows.fn()
    assert {site_id for (site_id,) in rows_of(services, SEALED)} == {site.id for site in sites}


def test_a_part_that_fails_keeps_no_other_part_from_its_work(
    sites: list[Site], services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: object) -> list[object]:
        raise RuntimeError("nothing can be found")

    def look() -> list[object]:
        swept.append("expired")
        return []

    swept: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(upkeep, "find_chunks_to_seal", fail)
        patched.setattr(upkeep, "find_files_to_sweep", fail)
        patched.setattr(upkeep, "find_sites_with_retention", look)
        with pytest.raises(UpkeepError, match=r"seal_chunks: RuntimeError.*sweep_files: RuntimeError"):
            tasks.look_after_raw_rows.fn()
    assert swept == ["expired"]


def test_a_file_that_the_store_lost_is_told_and_the_others_are_merged(
    sites: list[Site], services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ENOUGH_FILES", 2)
    for site in sites:
        tasks.seal_chunks()
        fill(site)
    tasks.seal_chunks()
    lost = "SELECT organisation_id, month::text, id FROM sealed_files WHERE site_id = %s ORDER BY id LIMIT 1"
    [(organisation_id, month, file_id)] = rows_of(services, lost, sites[0].id)
    storage_at(services.uploads_url).delete(f"{organisation_id}/visits/{sites[0].id}/{month[:7]}/{file_id}.parquet")
    with pytest.raises(UpkeepError, match=rf"merge failed for site {sites[0].id}.*store lacks"):
        tasks.look_after_raw_rows.fn()
    files = "SELECT count(*) FROM sealed_files WHERE state = 'sealed' AND site_id = %s"
    assert [scalar(services, files, site.id) for site in sites[1:]] == [2, 2], "one of each kind"
