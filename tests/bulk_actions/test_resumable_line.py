"""A file over a line that breaks, to a server that is killed: it arrives whole, and once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.line import BLOCK_BYTES, MadeFile, Sender, Server, dying_command
from tests.bulk_actions.support import count_rows, read, uploads
from tests.conftest import owner_connection
from webapp.accounts.service import create_api_key
from webapp.bulk_actions.resumable import LEASE, PIECE_BYTES
from webapp.config import Settings
from webapp.extensions import db, tenant

SECONDS = 60.0
Serve = Callable[..., Server]


@pytest.fixture
def serve(services: Settings) -> Iterator[Serve]:
    servers: list[Server] = []

    def start(command: list[str] | None = None) -> Server:
        servers.append(Server(services, command))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def secret(app: APIFlask, organisation_id: UUID) -> str:
    with app.app_context(), tenant(organisation_id):
        _, secret = create_api_key(organisation_id, "Tests")
        db.session.commit()
        return secret


def assert_arrived(app: APIFlask, services: Settings, organisation_id: UUID, file: MadeFile) -> None:
    """There is one draft, and it has every byte."""
    with owner_connection(services) as connection:
        ((bulk_action_id,),) = connection.execute("SELECT id FROM bulk_actions").fetchall()
    draft = read(app, organisation_id, bulk_action_id)
    assert draft.file_byte_count == uploads(app).size(draft.file_key) == file.byte_count
    assert draft.file_sha256 == file.sha256()
    assert count_rows(services, "upload_pieces") == 0
    assert not list((services.data_dir / "uploads").glob(f"{organisation_id}/uploads/*/*"))


def test_a_file_whose_line_is_cut_three_times_arrives_whole(
    app: APIFlask, services: Settings, organisation_id: UUID, serve: Serve, secret: str
) -> None:
    file = MadeFile(64)
    sender = Sender(serve().url, secret, file)
    sender.begin()
    for cut_at, rudely in ((11 * BLOCK_BYTES + 5, False), (30 * BLOCK_BYTES - 1, True), (63 * BLOCK_BYTES, False)):
        sender.send(cut_at, rudely=rudely)
        offset = wait_until_it_stands(services)
        assert cut_at - offset < 2 * PIECE_BYTES, "More is lost than was on its way."
    assert sender.send_on().status == 204
    assert_arrived(app, services, organisation_id, file)


def wait_until_it_stands(services: Settings) -> int:
    """The server has noticed that the line is cut; how many bytes it kept."""
    deadline = time.monotonic() + SECONDS
    while True:
        with owner_connection(services) as connection:
            row = connection.execute("SELECT writer_id, received_byte_count FROM resumable_uploads").fetchone()
        assert row
        if row[0] is None:
            return int(row[1])
        assert time.monotonic() < deadline, "The server still waits for bytes."
        time.sleep(0.02)


def test_a_server_that_is_killed_while_bytes_arrive_keeps_what_it_counted(
    app: APIFlask, services: Settings, organisation_id: UUID, serve: Serve, secret: str
) -> None:
    file, server = MadeFile(16), serve()
    sender = Sender(server.url, secret, file)
    sender.begin()
    connection = sender._open(0)
    for block in file.blocks(0, 10 * BLOCK_BYTES):
        connection.send(block)
    wait_for_bytes(services, 2 * PIECE_BYTES)
    server.kill()
    end_lease(services)
    sender.url = serve().url
    assert sender.offset() == 2 * PIECE_BYTES
    assert sender.send_on().status == 204
    assert_arrived(app, services, organisation_id, file)


def wait_for_bytes(services: Settings, byte_count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with owner_connection(services) as connection:
            row = connection.execute("SELECT received_byte_count FROM resumable_uploads").fetchone()
        assert row
        if row[0] >= byte_count:
            return
        assert time.monotonic() < deadline, row
        time.sleep(0.02)


def end_lease(services: Settings) -> None:
    """As if the time had passed for which a silent request counts as being at work."""
    with owner_connection(services) as connection:
        connection.execute("UPDATE resumable_uploads SET written_at = written_at - %s", [LEASE])


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("before-count", PIECE_BYTES),
        ("before-commit", PIECE_BYTES),
        ("before-join", 12 * BLOCK_BYTES),
        ("after-join", 12 * BLOCK_BYTES),
    ],
)
def test_a_server_that_is_killed_at_the_worst_moment_leaves_a_correct_upload(
    app: APIFlask, services: Settings, organisation_id: UUID, serve: Serve, secret: str, place: str, kept: int
) -> None:
    file, server = MadeFile(12), serve(dying_command(place))
    sender = Sender(server.url, secret, file)
    sender.begin()
    with pytest.raises(OSError):  # a reset or a broken pipe
        sender.send()
    server.process.wait(SECONDS)
    assert count_rows(services, "bulk_actions") == 0
    end_lease(services)
    sender.url = serve().url
    with owner_connection(services) as connection:
        assert connection.execute("SELECT received_byte_count FROM resumable_uploads").fetchone() == (kept,)
    assert sender.send_on().status == 204
    with owner_connection(services) as connection:
        ((bulk_action_id,),) = connection.execute("SELECT id FROM bulk_actions").fetchall()
    draft = read(app, organisation_id, bulk_action_id)
    assert (draft.file_byte_count, draft.file_sha256) == (file.byte_count, file.sha256())
