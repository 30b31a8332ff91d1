"""A list's search that stops early goes on by itself for a while, and its rows are added to those on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webapp.records.search import PAGE_SIZE, RecordPage

GO_ON_ROWS = 200_000
"""When it has met so many records without filling a page, somebody is asked whether to go on."""
ARGUMENTS = ("searched", "found")


@dataclass(frozen=True)
class SoFar:
    """What a search has met and found for the page that is shown."""

    searched_count: int = 0
    found_count: int = 0

    @property
    def is_under_way(self) -> bool:
        """Whether rows of this search are on the page already, or the message that there are none yet."""
        return self.searched_count > 0

    def and_then(self, page: RecordPage) -> SoFar:
        """With what this step of the search brought."""
        return SoFar(self.searched_count + page.searched_count, self.found_count + len(page.records))

    def goes_on_after(self, page: RecordPage) -> bool:
        """Whether the next step is taken without being asked for."""
        return page.is_partial and self.found_count < PAGE_SIZE and self.searched_count < GO_ON_ROWS

    def as_arguments(self) -> dict[str, str]:
        """What the address of the next step says."""
        return dict(zip(ARGUMENTS, (str(self.searched_count), str(self.found_count)), strict=True))


def read_so_far(arguments: Mapping[str, str]) -> SoFar:
    """What an address says; what is no number counts as nothing."""
    return SoFar(*(_count(arguments.get(name, "")) for name in ARGUMENTS))


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0
