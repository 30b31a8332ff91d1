"""Addresses of the internet, and who came to our own proxies. Of no framework: the edge reads it too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

ENTRY_LENGTH = 80
REMEMBERED = 20_000


class Proxies:
    """The proxies that are ours: addresses or networks (`10.0.0.1`, `172.30.90.0/24`); ValueError for anything else."""

    def __init__(self, proxies: Sequence[str]) -> None:
        self._networks = [ip_network(proxy, strict=False) for proxy in proxies]
        self.holds = lru_cache(10_000)(self._holds)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def address_before(self, entries: str) -> str:
        """Who came to the first of our proxies, each of which wrote down at the end who came to it; '' if unreadable.

        `entries` are those of X-Forwarded-For, all of its lines. What a stranger wrote before is not read.
        """
        address = ""
        while entries:
            entries, _, entry = entries.rpartition(",")
            address = _bare(entry[-ENTRY_LENGTH:])
            if not self.holds(address):
                break
        return address

    def _holds(self, peer: str) -> bool:
        number = read_address(peer)  # a Unix socket has none
        return number is not None and any(number in network for network in self._networks)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address; one of IPv4 that is written as IPv6 is itself."""
    try:
        number = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
        return number.ipv4_mapped
    return number


@lru_cache(REMEMBERED)
def _bare(entry: str) -> str:
    """The address of a forwarded entry, which some proxies write with brackets or a port; '' where there is none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    number = read_address(text)
    return "" if number is None else str(number)
