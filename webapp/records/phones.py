"""Phone numbers as E.164, by Google's libphonenumber, and by a short way for those that need no thought.

Nearly every number of a file has its "+" and its country's code already. For those the library's own metadata is
asked directly: a number of a possible length that begins with no national prefix is its digits. All others go the
library's way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata

# What the library may read otherwise, such as "(0)", letters or an extension, is not among these.
PLAIN = re.compile(r"\+[1-9][0-9 .\-]{6,24}")
SEPARATORS = str.maketrans("", "", " .-")


def beginning_of(text: str) -> str:
    """What a number begins with, as it is kept: "+49 (0)30 12" and "0049 30-12" are "+493012"; other texts stay."""
    plain = text.replace("(0)", "").translate(BREAKS)
    plain = f"+{plain[2:]}" if plain.startswith("00") else plain
    return plain if BEGINNING.fullmatch(plain) else text


BREAKS = str.maketrans("", "", " .-/()\u00a0\u2011\u2013")
BEGINNING = re.compile(r"\+[1-9][0-9]*")


@dataclass(frozen=True)
class _Country:
    prefix: re.Pattern[str] | None
    lengths: frozenset[int]


def as_e164(text: str, region: str) -> str | None:
    """The number as E.164, an extension following as ";ext=12" (RFC 3966); None for what is no number."""
    return _short_way(text) or _long_way(text, region)


def _short_way(text: str) -> str | None:
    if not PLAIN.fullmatch(text):
        return None
    digits = text.translate(SEPARATORS)
    for width in (1, 2, 3):
        country = _country_of(digits[1 : 1 + width])
        if country is not None:
            national = digits[1 + width :]
            is_plain = len(national) in country.lengths and not (country.prefix and country.prefix.match(national))
            return digits if is_plain else None
    return None


@lru_cache(maxsize=2_000)
def _country_of(calling_code: str) -> _Country | None:
    """What the library knows of a calling code; None when there is no such."""
    code = int(calling_code or 0)
    if code not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        return None
    region = phonenumbers.region_code_for_country_code(code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return _Country(re.compile(prefix) if prefix else None, frozenset(metadata.general_desc.possible_length))


def _long_way(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    extension = f";ext={number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) + extension
