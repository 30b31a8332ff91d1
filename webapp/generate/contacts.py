"""Contacts as CSV, as they come out of another customer desk: mostly tidy, sometimes not."""

from __future__ import annotations

import random
import unicodedata
from typing import TextIO

from webapp.generate.blocks import csv_cell, number_blocks, seeded

HEADER = "Email,First name,Last name,Phone,Company,Job title,City,Country\n"

FIRST_NAMES = (
    "Amelia", "Oliver", "Zoë", "José", "Søren", "Łukasz", "Siân", "Björn", "Chloé", "Ines", "Noah", "Priya", "Aylin",
    "Mateus", "Niamh", "Kenji", "Fatima", "Tomáš", "Ingrid", "Marek", "Élodie", "Hannah", "Jürgen", "Sofía", "Omar",
    "Grace", "Yusuf", "Leïla", "Daniel", "Emma", "Anders", "Beatriz", "Çağla", "Dmitri", "Eun-ji", "François", "Greta",
    "Haruka", "Iain", "Jana", "Kwame", "Lucía", "Małgorzata", "Nils", "Oksana", "Pádraig", "Raúl", "Saoirse",
)  # fmt: skip
LAST_NAMES = (
    "Smith", "Müller", "García", "Nowak", "O'Brien", "Dvořák", "Sørensen", "Rossi", "Lefèvre", "Åkesson", "Silva",
    "Patel", "Kowalczyk", "Yılmaz", "Tanaka", "Núñez", "MacDonald", "Van den Berg", "Öztürk", "Fernández", "Schröder",
    "Hughes", "Jansen", "Bianchi", "Dubois", "Eriksson", "Fitzgerald", "Gonçalves", "Horváth", "Ibrahim", "Jørgensen",
    "Keller", "Lindqvist", "Mensah", "Ní Chonaill", "Okafor", "Petrov", "Quinn", "Ramírez", "Szabó", "Taylor", "Weiß",
)  # fmt: skip
COMPANIES = (
    "Nordwind Logistik", "Harbour, Rope & Sons", 'The "Old Mill" Bakery', "Bluebell Dental", "Ortega y Hijos, S.L.",
    "Fjordkraft Service", "Kestrel Analytics", "Brightwater Plumbing", "Café Zürich", 'Sign "n" Print', "Aldine Books",
    "Mokré Pole Brewery", "Granite Peak Outdoor", "Lumen Opticians", "Tiller, Reed & Co.", "Vega Veterinary",
    "Saltmarsh Ceramics", "Quayside Architects", "Northgate Cycles", "Pinewood Joinery", "Solstice Travel",
    "Weber Feinmechanik", "Meadow Lane Nursery", "Tramontana Foods",
)  # fmt: skip
JOB_TITLES = (
    "Owner", "Head of Sales", "Buyer", "Accountant", "Office Manager", "Director, Operations", "Marketing Lead",
    "Software Engineer", "Warehouse Supervisor", "Chef", "Site Manager", "Customer Service", "Partner", "Procurement",
    "IT Manager", "Assistant",
)  # fmt: skip
PLACES = (
    ("London", "United Kingdom", "+44 20 79"), ("Köln", "Germany", "+49 221"), ("Málaga", "Spain", "+34 952"),
    ("Kraków", "Poland", "+48 12 6"), ("Dublin", "Ireland", "+353 1 6"), ("Plzeň", "Czechia", "+420 377"),
    ("Århus", "Denmark", "+45 86"), ("Torino", "Italy", "+39 011"), ("Genève", "Switzerland", "+41 22 3"),
    ("Malmö", "Sweden", "+46 40"), ("São Paulo", "Brazil", "+55 11 32"), ("Ahmedabad", "India", "+91 79 26"),
    ("İzmir", "Türkiye", "+90 232 4"), ("Ōsaka", "Japan", "+81 6 62"),
    ("Washington, D.C.", "United States", "+1 202 5"), ("Edinburgh", "United Kingdom", "+44 131 4"),
)  # fmt: skip
# Letters that Unicode does not take apart into a base and an accent.
PLAIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "ß": "ss", "ı": "i", "æ": "ae", "'": "", " ": ""})
PEOPLE_BITS, WORK_BITS = 12, 12
DIGITS = tuple(f"{number % 1000:03d}" for number in range(1024))


def write(file: TextIO, count: int, seed: int = 1) -> None:
    """Write a header and `count` contacts, each with an e-mail address of its own."""
    choices = seeded("contacts", seed)
    people = [_person(choices) for _ in range(1 << PEOPLE_BITS)]
    work = [_work(choices) for _ in range(1 << WORK_BITS)]
    file.write(HEADER)
    for first, numbers in number_blocks(count, seed):
        file.write("".join([_row(index, n, people, work) for index, n in enumerate(numbers, first)]))


def _row(index: int, n: int, people: list[tuple[str, str]], work: list[tuple[str, str, str]]) -> str:
    """A row from a random number's bits; the index in the address is what makes it unique."""
    local, names = people[n & 0xFFF]
    domain, phone_prefix, rest = work[n >> 12 & 0xFFF]
    phone = f"{phone_prefix} {DIGITS[n >> 24 & 0x3FF]} {DIGITS[n >> 34 & 0x3FF]}" if phone_prefix else ""
    return f"{local}{index}@{domain},{names},{phone},{rest}"


def _person(choices: random.Random) -> tuple[str, str]:
    """The start of an address, and the cells of the names (a first name is missing now and then)."""
    first_name, last_name = choices.choice(FIRST_NAMES), choices.choice(LAST_NAMES)
    shown = "" if choices.random() < 0.03 else first_name
    return f"{_ascii(first_name)}.{_ascii(last_name)}", f"{csv_cell(shown)},{csv_cell(last_name)}"


def _work(choices: random.Random) -> tuple[str, str, str]:
    """The address's domain, the start of the phone number, and the last four cells."""
    company, title = choices.choice(COMPANIES), choices.choice(JOB_TITLES)
    city, country, phone_prefix = choices.choice(PLACES)
    domain = "".join(letter for letter in _ascii(company) if letter.isalnum()) + ".example"
    cells = [company if choices.random() > 0.1 else "", title if choices.random() > 0.2 else "", city, country]
    rest = ",".join(map(csv_cell, cells)) + "\n"
    return domain, phone_prefix if choices.random() > 0.15 else "", rest


def _ascii(text: str) -> str:
    """Lower case, without accents, as people put their names into addresses."""
    plain = unicodedata.normalize("NFKD", text.lower()).translate(PLAIN_LETTERS)
    return plain.encode("ascii", "ignore").decode()
