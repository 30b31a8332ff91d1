"""Uploads by tus: how they begin, go on, end, and who may do what with them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from tests.bulk_actions.support import count_rows, csv_of, read, uploads, work_off
from tests.bulk_actions.test_api import calling_as
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import resumable, upload_tasks
from webapp.bulk_actions.models import BulkActionState
from webapp.bulk_actions.resumable import LEASE, LIFETIME
from webapp.config import Settings

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"
PEOPLE = csv_of([["ada@example.com", "Ada"], ["grace@example.com", "Grace"]])
MAPPING = re.compile(r"/bulk-actions/([0-9a-f-]{36})/mapping$")
Ask = Callable[..., TestResponse]


def metadata(**texts: str) -> str:
    return ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in texts.items())


def asking(person: Person) -> Ask:
    """A browser that speaks tus."""

    def ask(method: str, path: str, data: bytes = b"", **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return person.client.open(path, method=method, data=data, headers=TUS | named)

    return ask


@pytest.fixture
def ask(alice: Person) -> Ask:
    return asking(alice)


def begin(ask: Ask, content: bytes = PEOPLE, name: str = "people.csv") -> str:
    """The address of a new upload."""
    announced = metadata(filename=name, entity="contacts")
    answer = ask("POST", "/bulk-actions/uploads", Upload_Length=str(len(content)), Upload_Metadata=announced)
    assert answer.status_code == 201, answer.text
    return answer.location


def send(ask: Ask, path: str, data: bytes, offset: int) -> TestResponse:
    return ask("PATCH", path, data, Upload_Offset=str(offset), Content_Type=BYTES)


def offset_of(ask: Ask, path: str) -> int:
    answer = ask("HEAD", path)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def draft_of(answer: TestResponse) -> UUID:
    found = MAPPING.search(answer.headers["Upload-Result"])
    assert found
    return UUID(found[1])


def stored_keys(app: APIFlask, settings: Settings) -> set[str]:
    folder = settings.data_dir / "uploads"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_server_says_what_it_can_do(app: APIFlask, ask: Ask) -> None:
    answer = ask("OPTIONS", "/bulk-actions/uploads")
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "expiration",
        "termination",
    }
    assert int(answer.headers["Tus-Max-Size"]) == app.extensions["settings"].upload_limit_bytes


def test_bytes_arrive_in_parts_and_become_a_draft(app: APIFlask, services: Settings, alice: Person, ask: Ask) -> None:
    path = begin(ask)
    answer = send(ask, path, PEOPLE[:20], 0)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "20")
    assert "Upload-Result" not in answer.headers
    assert "GMT" in answer.headers["Upload-Expires"]
    assert offset_of(ask, path) == 20
    draft = read(app, alice.organisation_id, draft_of(send(ask, path, PEOPLE[20:], 20)))
    assert (draft.state, draft.file_name, draft.created_by) == (BulkActionState.DRAFT, "people.csv", alice.user_id)
    assert draft.file_sha256 == hashlib.sha256(PEOPLE).hexdigest()
    assert uploads(app).read(draft.file_key, 0, len(PEOPLE)) == PEOPLE
    assert stored_keys(app, services) == {draft.file_key}


def test_bytes_may_come_with_the_creation(app: APIFlask, alice: Person, ask: Ask) -> None:
    answer = ask("POST", "/bulk-actions/uploads", PEOPLE, Upload_Length=str(len(PEOPLE)), Content_Type=BYTES)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(len(PEOPLE)))
    assert read(app, alice.organisation_id, draft_of(answer)).file_name == "contacts.csv"


def test_the_end_may_be_asked_for_and_sent_again_and_stays_the_same_draft(services: Settings, ask: Ask) -> None:
    path = begin(ask)
    draft_id = draft_of(send(ask, path, PEOPLE, 0))
    assert draft_of(ask("HEAD", path)) == draft_id
    assert draft_of(send(ask, path, b"", len(PEOPLE))) == draft_id
    assert count_rows(services, "bulk_actions") == 1


def test_a_server_that_died_before_it_joined_the_pieces_does_so_when_asked(
    services: Settings, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begin(ask)
    with monkeypatch.context() as patch:
        patch.setattr(resumable, "finish", dies)
        with pytest.raises(KeyboardInterrupt):
            send(ask, path, PEOPLE, 0)
    assert count_rows(services, "bulk_actions") == 0
    draft_id = draft_of(ask("HEAD", path))
    assert draft_of(ask("HEAD", path)) == draft_id
    assert count_rows(services, "bulk_actions") == 1


def dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_bytes_at_a_wrong_place_are_refused(ask: Ask) -> None:
    path = begin(ask)
    send(ask, path, PEOPLE[:20], 0)
    for offset in (0, 19, 21):
        assert send(ask, path, PEOPLE[20:30], offset).status_code == 409
    assert offset_of(ask, path) == 20


def test_more_bytes_than_announced_are_refused(ask: Ask) -> None:
    assert send(ask, begin(ask), PEOPLE + b"x", 0).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Upload-Length": "many"}, 400),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Metadata": "filename !!!"}, 400),
        ({"Upload-Metadata": metadata(entity="cats")}, 422),
    ],
)
def test_a_creation_that_makes_no_sense_is_refused(
    services: Settings, alice: Person, headers: dict[str, str], status: int
) -> None:
    answer = alice.client.post("/bulk-actions/uploads", headers=TUS | {"Upload-Length": "10"} | headers)
    assert answer.status_code == status
    assert count_rows(services, "resumable_uploads") == 0


def test_bytes_of_another_kind_or_place_are_refused(ask: Ask) -> None:
    path = begin(ask)
    assert ask("PATCH", path, PEOPLE, Upload_Offset="0", Content_Type="text/csv").status_code == 415
    assert ask("PATCH", path, PEOPLE, Content_Type=BYTES).status_code == 400


@pytest.fixture
def small_limit(app: APIFlask) -> Iterator[None]:
    settings: Settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, upload_limit_bytes=1024)
    yield
    app.extensions["settings"] = settings


@pytest.mark.usefixtures("small_limit")
def test_a_file_over_the_limit_is_refused_before_its_first_byte(ask: Ask) -> None:
    answer = ask("POST", "/bulk-actions/uploads", Upload_Length="1025")
    assert answer.status_code == 413
    assert "larger than 1 KB" in answer.text


def test_a_file_that_is_no_csv_is_refused_at_its_end_and_forgotten(app: APIFlask, services: Settings, ask: Ask) -> None:
    content = bytes(range(1, 9)) * 50
    path = begin(ask, content)
    answer = ask("PATCH", path, content, Upload_Offset="0", Content_Type=BYTES, HX_Request="true")
    assert answer.status_code == 422
    assert "bytes that are not text" in answer.text
    assert "<html" not in answer.text
    assert ask("HEAD", path).status_code == 404
    assert stored_keys(app, services) == set()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_piece_that_the_store_lost_ends_the_upload_in_plain_words(
    app: APIFlask, services: Settings, ask: Ask, is_there: bool
) -> None:
    path = begin(ask)
    send(ask, path, PEOPLE[:20], 0)
    (key,) = stored_keys(app, services)
    uploads(app).write(key, [PEOPLE[:19]]) if is_there else uploads(app).delete(key)
    answer = send(ask, path, PEOPLE[20:], 20)
    assert (answer.status_code, count_rows(services, "bulk_actions")) == (422, 0)
    assert "Upload the file again" in answer.text
    assert ask("HEAD", path).status_code == 404
    assert stored_keys(app, services) == set()


def test_a_cancelled_upload_leaves_nothing(app: APIFlask, services: Settings, ask: Ask) -> None:
    path = begin(ask)
    send(ask, path, PEOPLE[:20], 0)
    assert len(stored_keys(app, services)) == 1
    assert ask("DELETE", path).status_code == 204
    assert ask("HEAD", path).status_code == 404
    assert stored_keys(app, services) == set()
    assert count_rows(services, "upload_pieces") == 0


def test_only_one_request_sends_bytes_until_it_was_silent_for_long(services: Settings, ask: Ask) -> None:
    path = begin(ask)
    set_writer(services, timedelta())
    assert send(ask, path, PEOPLE[:20], 0).status_code == 423
    set_writer(services, LEASE + timedelta(seconds=1))
    assert send(ask, path, PEOPLE[:20], 0).status_code == 204


def test_who_cancels_waits_for_whoever_counts_a_piece(services: Settings, ask: Ask) -> None:
    path = begin(ask)
    with (
        owner_connection(services) as connection,
        ThreadPoolExecutor(max_workers=1) as canceller,
        connection.transaction(),
    ):
        connection.execute("SELECT FROM resumable_uploads FOR UPDATE")
        assert send(ask, path, PEOPLE[:20], 0).status_code == 423
        answer = canceller.submit(ask, "DELETE", path)
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.3)
        connection.execute("UPDATE resumable_uploads SET written_at = now()")
    assert answer.result().status_code == 204


def set_writer(settings: Settings, silent_for: timedelta) -> None:
    """As if another request were sending."""
    with owner_connection(settings) as connection:
        connection.execute(
            "UPDATE resumable_uploads SET writer_id = gen_random_uuid(), written_at = now() - %s", [silent_for]
        )


def test_bytes_of_a_request_in_whose_place_another_went_on_do_not_count(
    app: APIFlask, services: Settings, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begin(ask)
    count_piece = resumable.count_piece

    def overtaken(*arguments: object) -> None:
        set_writer(services, timedelta())
        count_piece(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(resumable, "count_piece", overtaken)
        assert send(ask, path, b"x" * 20, 0).status_code == 423
    assert stored_keys(app, services) == set()
    set_writer(services, LEASE + timedelta(seconds=1))
    assert send(ask, path, PEOPLE, 0).status_code == 204


def test_a_file_is_kept_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PIECE_BYTES", 10)
    assert list(resumable.cut([b"abcd"] * 7)) == [[b"abcd"] * 3, [b"abcd"] * 3, [b"abcd"]]


def test_a_slow_lines_piece_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PIECE_SECONDS", 0.0)
    assert list(resumable.cut([b"ab", b"cd"])) == [[b"ab"], [b"cd"]]


def test_what_came_before_a_break_is_a_piece_too() -> None:
    def breaks() -> Iterator[bytes]:
        yield b"half of it"
        raise resumable.BrokenOffError

    pieces = resumable.cut(breaks())
    assert next(pieces) == [b"half of it"]
    with pytest.raises(resumable.BrokenOffError):
        next(pieces)


def test_uploads_without_a_new_byte_for_a_week_are_forgotten(app: APIFlask, services: Settings, ask: Ask) -> None:
    old, young = begin(ask), begin(ask)
    for path in (old, young):
        send(ask, path, PEOPLE[:20], 0)
    orphan = f"{UUID(int=1)}/uploads/{UUID(int=2)}/0-{UUID(int=3)}"
    uploads(app).write(orphan, [b"x"])
    assert len(sweep_after(app, services, timedelta(0))) == 3
    kept = sweep_after(app, services, timedelta(days=1, hours=1))
    assert len(kept) == 2
    assert orphan not in kept
    with owner_connection(services) as connection:
        expired = [LIFETIME + timedelta(minutes=1), old.rsplit("/", 1)[1]]
        connection.execute("UPDATE resumable_uploads SET written_at = now() - %s WHERE id = %s", expired)
    assert len(sweep_after(app, services, timedelta(days=2))) == 1
    assert ask("HEAD", old).status_code == 404
    assert offset_of(ask, young) == 20


def sweep_after(app: APIFlask, settings: Settings, age: timedelta) -> set[str]:
    """The keys that are left of what was stored so long ago."""
    for key in stored_keys(app, settings):
        then = time.time() - age.total_seconds()
        os.utime(settings.data_dir / "uploads" / key, (then, then))
    with app.app_context():
        upload_tasks.sweep_pieces()
    return stored_keys(app, settings)


def test_a_page_of_another_site_cannot_upload(app: APIFlask, alice: Person, ask: Ask) -> None:
    path = begin(ask)
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        refused = [ask(method, to).status_code for method, to in (("POST", "/bulk-actions/uploads"), ("DELETE", path))]
        refused.append(send(ask, path, PEOPLE, 0).status_code)
        token = re.search(r'name="csrf_token" value="([^"]+)"', alice.client.get("/bulk-actions").text)
        assert token
        allowed = ask("PATCH", path, PEOPLE, Upload_Offset="0", Content_Type=BYTES, X_CSRFToken=token[1])
    finally:
        app.config["WTF_CSRF_ENABLED"] = False
    assert refused == [400, 400, 400]
    assert allowed.status_code == 204


def test_another_organisation_sees_nothing_of_an_upload(app: APIFlask, ask: Ask, charlie: Person) -> None:
    path = begin(ask)
    strange = asking(charlie)
    assert strange("HEAD", path).status_code == 404
    assert send(strange, path, PEOPLE, 0).status_code == 404
    assert strange("DELETE", path).status_code == 404
    assert offset_of(ask, path) == 0


# Over the API ---------------------------------------------------------------------------------------


@pytest.fixture
def program(app: APIFlask, organisation_id: UUID) -> Ask:
    """A program with a key that speaks tus."""
    call = calling_as(app, organisation_id)

    def ask(method: str, path: str, data: bytes = b"", **headers: str) -> TestResponse:
        named = [(name.replace("_", "-"), value) for name, value in (TUS | headers).items()]
        return call(path, method, data=data, headers=dict(named))

    return ask


def test_a_program_uploads_and_imports_once(app: APIFlask, services: Settings, program: Ask) -> None:
    answer = program("POST", "/api/v1/uploads", Upload_Length=str(len(PEOPLE)))
    path = answer.location
    assert path.startswith("/api/v1/uploads/")
    assert program("POST", f"{path}/import").status_code == 409
    assert send(program, path, PEOPLE[:20], 0).status_code == 204
    assert program("GET", path).json == {
        "id": path.rsplit("/", 1)[1],
        "byte_count": len(PEOPLE),
        "received_byte_count": 20,
        "bulk_action_id": None,
    }
    assert send(program, path, PEOPLE[20:], 20).headers["Upload-Result"].startswith("/api/v1/bulk-actions/")
    first = program("POST", f"{path}/import")
    assert (first.status_code, first.json["state"] if first.json else "") == (202, "pending")
    again = program("POST", f"{path}/import")
    assert first.json
    assert again.json
    assert first.json["id"] == again.json["id"]
    work_off(app)
    assert count_rows(services, "contacts") == 2
    assert count_rows(services, "jobs") == 1


def test_the_programs_way_needs_a_key(app: APIFlask) -> None:
    answer = app.test_client().post("/api/v1/uploads", headers=TUS | {"Upload-Length": "10"})
    assert answer.status_code == 401


def test_the_form_still_works_beside(alice: Person) -> None:
    answer = alice.client.post("/bulk-actions", data={"file": (io.BytesIO(PEOPLE), "people.csv")})
    assert answer.status_code == 303
