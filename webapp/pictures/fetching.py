"""One request to somebody else's server: bounded in time and in bytes, and following nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3

CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
WHOLE_SECONDS = 60.0
"""A server that sends a byte now and then never lets a read time out."""
BLOCK_BYTES = 64 * 1024
HEADERS = {"User-Agent": "Footfall", "Accept-Encoding": "identity"}  # nothing comes packed, so nothing grows


class FetchError(Exception):
    """No answer, not in time, not all of it, or too much; another try may do better."""


@dataclass(frozen=True)
class Answer:
    """What a server said: its body whole, its headers whatever their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(url: str, limit_bytes: int, headers: Mapping[str, str]) -> Answer:
    """GET an address; redirects are answers too. Raises FetchError, with the server's name in its words."""
    host, ends_at = urlsplit(url).hostname, time.monotonic() + WHOLE_SECONDS
    try:
        with (
            _Session() as session,
            session.get(
                url,
                headers={**HEADERS, **headers},
                auth=_as_it_is,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            ) as response,
        ):
            body = b"".join(_blocks(response, limit_bytes, ends_at))
            return Answer(response.status_code, response.headers, body)
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise FetchError(f"{host} did not answer in time.") from error
    except requests.ConnectionError as error:
        raise FetchError(f"{host} could not be reached. Does this machine reach the internet?") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise FetchError(f"{host} broke off in the middle of its answer.") from error


class _Session(requests.Session):
    """Sees no redirect in any answer: even one that requests does not follow it would read to its end, however far."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _blocks(response: requests.Response, limit_bytes: int, ends_at: float) -> Iterator[bytes]:
    """The body as it comes, each block as soon as it is there; raises FetchError when it is too long or too late."""
    byte_count = 0
    while block := response.raw.read1(BLOCK_BYTES, decode_content=False):
        byte_count += len(block)
        if byte_count > limit_bytes:
            raise FetchError(f"The answer is larger than {limit_bytes // 1024**2} MB, the most that is taken.")
        if time.monotonic() > ends_at:
            raise FetchError(f"The answer had not come whole after {WHOLE_SECONDS:.0f} seconds.")
        yield block


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without somebody to authorise a request, requests would put what a .netrc says in our key's place."""
    return request
