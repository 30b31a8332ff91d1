"""The short way to E.164 says what the library says, for numbers of every country."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from webapp.records import phones

LETTERS = " .-"


def spellings(choices: random.Random) -> list[str]:
    """Each country's example number, whole and mutilated, with separators here and there."""
    found = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        if example is None:
            continue
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        code = f"+{example.country_code}"
        national = e164.removeprefix(code)
        rests = [national, national[:-1], national[:-3], national + "7", "0" + national, "1" + national, "8" + national]
        rests += ["".join(choices.choices("0123456789", k=choices.randint(4, 12))) for _ in range(20)]
        for rest in rests:
            found += [code + rest, f"{code} {choices.choice(LETTERS).join([rest[:2], rest[2:5], rest[5:]])}"]
    return found


def test_the_short_way_never_says_anything_else_than_the_library() -> None:
    numbers = spellings(random.Random(11))
    differing = [
        (number, short, phones._long_way(number, ""))
        for number in numbers
        if (short := phones._short_way(number)) and short != phones._long_way(number, "")
    ]
    assert differing == []
    assert sum(1 for number in numbers if phones._short_way(number)) > len(numbers) / 4


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+49 30 1234567", "", "+49301234567"),
        ("+49 (0)30 1234567", "", "+49301234567"),
        ("030 1234567", "DE", "+49301234567"),
        ("0044 20 7946 0958", "DE", "+442079460958"),
        ("+1 202-555-0143 ext. 12", "", "+12025550143;ext=12"),
        ("030 1234567", "", None),
        ("hello", "DE", None),
        ("+999 12345678", "", None),
        ("1", "DE", None),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, region: str, number: str | None) -> None:
    assert phones.as_e164(text, region) == number


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("+49 30", "+4930"),
        ("+49 (0)30 12-34", "+49301234"),
        ("0049/30", "+4930"),
        ("+4930", "+4930"),
        ("030 123", "030 123"),
        ("+ plus", "+ plus"),
        ("ada lovelace", "ada lovelace"),
        ("", ""),
    ],
)
def test_the_beginning_of_a_number_is_searched_for_as_it_is_kept(text: str, beginning: str) -> None:
    assert phones.beginning_of(text) == beginning
