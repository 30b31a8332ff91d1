"""`POST /collect`: takes beacons from any website, and answers 202 once Redis has them.

Native async, without Flask and the ORM: nothing that a page does can keep a beacon waiting, and
neither can PostgreSQL.
"""

from __future__ import annotations

import time

from redis.exceptions import RedisError

from webapp.config import Settings
from webapp.lib.redis import async_beacons_client, async_broker_client
from webapp.metrics import beacon_counter
from webapp.visits.backlog import AsyncAdder, Row
from webapp.visits.collecting import answers
from webapp.visits.collecting.admission import Admission, Request
from webapp.visits.collecting.answers import Receive, Send
from webapp.visits.collecting.batches import Batch, Note, take_all
from webapp.visits.collecting.beacon import (
    LIST_LIMIT_BYTES,
    Beacon,
    find_page_url,
    find_site_key,
    is_list,
    read_beacon,
    read_site_key,
    split_list,
)
from webapp.visits.collecting.clients import client_of
from webapp.visits.collecting.countries import Countries
from webapp.visits.collecting.group_commit import GroupCommit
from webapp.visits.collecting.intake import KnownSite, take
from webapp.visits.collecting.pixel import GIF, headers_for, read_pixel
from webapp.visits.collecting.refusals import DroppedError, RefusedError, TooLargeError, try_again, unknown_site
from webapp.visits.collecting.senders import Scope, Sender, Senders
from webapp.visits.collecting.site_directory import DirectoryError, SiteDirectory
from webapp.visits.collecting.uncounted import Tally, reason_of, uncounted_row
from webapp.visits.collecting.visitors import Salts
from webapp.visits.heard import Listener


class Collector:
    """The ASGI part behind `/collect`. `start` before the first request, `stop` after the last."""

    def __init__(self, settings: Settings) -> None:
        self._redis = async_beacons_client(settings)
        adder = AsyncAdder(self._redis, settings.beacons_limit)
        self._group, self._tally = GroupCommit(adder), Tally(adder)
        self._directory = SiteDirectory(settings.database_url)
        self._senders = Senders(Countries(settings.countries_path), settings.trusted_proxies)
        self._salts = Salts(self._redis)
        self._admission = Admission(settings.address_rate_limit, settings.edge_processes)
        self._listener = Listener(async_broker_client(settings))

    async def start(self) -> None:
        """Read the lists of bots and browsers now: the first beacon would wait for a second."""
        client_of(b"Mozilla/5.0")
        await self._directory.open()

    async def stop(self) -> None:
        await self._group.close()
        await self._tally.close()
        await self._directory.close()
        await self._listener.close()
        await self._redis.aclose()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it holds."""
        if scope["method"] != "POST":
            await answers.answer_other_method(scope["method"], send)
            return
        try:
            sender = self.sender_of(scope)
            body = await self._read(receive, sender)
            if is_list(body):
                await answers.tell(await self.take_list(body, sender), send)
                return
            await self.take_one(body, sender)
        except DroppedError as outcome:
            beacon_counter(outcome.reason)(1)
            await answers.drop(outcome, send)
        except RefusedError as refusal:
            beacon_counter(refusal.reason)(1)
            await answers.refuse(refusal, send)
        else:
            await answers.accept(send)

    async def handle_pixel(self, scope: Scope, send: Send) -> None:
        """Answer a request for the pixel of a page without scripts."""
        body, as_posted = read_pixel(scope)
        reason = ""
        try:
            await self.take_one(body, self.sender_of(as_posted), is_sent_again=False)
        except (DroppedError, RefusedError) as outcome:
            reason = outcome.reason
            beacon_counter(reason)(1)
        await send({"type": "http.response.start", "status": 200, "headers": headers_for(reason)})
        await send({"type": "http.response.body", "body": GIF})

    def sender_of(self, scope: Scope) -> Sender:
        """Who sent a request."""
        return self._senders.of(scope)

    async def take_one(self, body: bytes, sender: Sender, *, is_sent_again: bool = True) -> None:
        """Done when Redis has the beacon; raises RefusedError or DroppedError once Redis has counted that.

        What comes too fast is no loss yet where its sender tries again, and is counted as lost only where nobody does.
        """
        try:
            beacon = read_beacon(body)
        except RefusedError as refusal:
            await self._note_unreadable(body, refusal, sender)
            raise
        site = self._directory.find_known(beacon.site_key) or await self._find_site(beacon.site_key, sender)
        now_ms = time.time_ns() // 1_000_000
        salt = self._salts.known(now_ms) or await self._find_salt(now_ms)
        try:
            row = self._take(beacon, site, Request(body, sender), now_ms, salt)
        except (RefusedError, DroppedError) as outcome:
            self._say(Note(site, beacon.page_url, outcome))
            reason = reason_of(outcome)
            if reason == outcome.reason:
                await self._group.add_all([], [uncounted_row(beacon, site, outcome)])
            else:
                self._tally.add(site, reason if is_sent_again else outcome.reason)
            raise
        await self._group.add(row)
        self._listener.took(row)

    async def take_list(self, body: bytes, sender: Sender) -> Batch:
        """What became of each beacon of a list, once Redis has that."""
        try:
            parts = split_list(body)
        except RefusedError as refusal:
            await self._note_unreadable(body, refusal, sender)
            raise
        sites = await self._find_sites({read_site_key(part) for part in parts}, sender)
        now_ms = time.time_ns() // 1_000_000
        salt = self._salts.known(now_ms) or await self._find_salt(now_ms)

        def find_site(site_key: str) -> KnownSite:
            found = sites[site_key]
            if isinstance(found, RefusedError):
                raise found
            return found

        request = Request(body, sender)
        batch = take_all(parts, find_site, lambda beacon, site: self._take(beacon, site, request, now_ms, salt))
        self._tally.add_all(batch.sums)
        if batch.rows or batch.uncounted:
            await self._group.add_all(batch.rows, batch.uncounted)
        for row in batch.rows[-1:]:
            self._listener.took(row)
        for note in batch.notes.values():
            self._say(note)
        return batch

    async def _read(self, receive: Receive, sender: Sender) -> bytes:
        try:
            return await answers.read_body(receive, LIST_LIMIT_BYTES)
        except TooLargeError as refusal:
            await self._note_unreadable(refusal.beginning, refusal, sender)
            raise

    def _take(self, beacon: Beacon, site: KnownSite, request: Request, now_ms: int, salt: bytes) -> Row:
        sender = self._admission.admit(site, request)
        if sender.is_trusted:
            sender = self._senders.spoken_for(beacon, sender)
        return take(beacon, site, sender, now_ms, salt)

    def _say(self, note: Note) -> None:
        """Tell the check of the site's installation."""
        site, outcome = note.site, note.outcome
        self._listener.left_out(site.organisation_id, site.site_id, note.page_url, outcome.reason, outcome.detail)

    async def _note_unreadable(self, body: bytes, refusal: RefusedError, sender: Sender) -> None:
        """Count what is no beacon, if it says for which site it was meant; its owner will see it."""
        site_key = read_site_key(body) if refusal.reason == "wrong-fields" else find_site_key(body)
        if not site_key:
            return
        try:
            site = self._directory.find_known(site_key) or await self._find_site(site_key, sender)
        except RefusedError:
            return
        self._tally.add(site, refusal.reason, refusal.beacon_count)
        self._say(Note(site, find_page_url(body), refusal))

    async def _find_sites(self, site_keys: set[str], sender: Sender) -> dict[str, KnownSite | RefusedError]:
        sites: dict[str, KnownSite | RefusedError] = {}
        for site_key in site_keys:
            try:
                sites[site_key] = self._directory.find_known(site_key) or await self._find_site(site_key, sender)
            except RefusedError as refusal:
                if refusal.status == 503:
                    raise
                sites[site_key] = refusal
        return sites

    async def _find_site(self, site_key: str, sender: Sender) -> KnownSite:
        """A site that was not asked for yet. Looking up costs more than anything else here, so it is limited first."""
        self._admission.charge(sender)
        try:
            site = await self._directory.find(site_key)
        except DirectoryError as error:
            raise try_again("This site key cannot be looked up now.") from error
        if site is None:
            raise unknown_site()
        return site

    async def _find_salt(self, now_ms: int) -> bytes:
        """Asked once a day. Without Redis no beacon could be taken anyway."""
        try:
            return await self._salts.find(now_ms)
        except (RedisError, OSError, TimeoutError) as error:
            raise try_again("The queue of beacons cannot be reached.") from error
