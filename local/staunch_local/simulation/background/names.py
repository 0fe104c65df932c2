"""Invented people and places from Faker; postal codes by our own rule, so that they fit their province."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from faker import Faker

from staunch_local.simulation.background.arrays import Bools, Ints
from staunch_local.simulation.background.draws import Draws, Topic
from staunch_local.simulation.background.reference import ReferenceData

GIVEN_NAMES = 250
FAMILY_NAMES = 400
STREETS = 400
PLACES = 24
"""How many places customers of one province live in."""

_LOCALES = ("en_CA", "fr_CA")  # in the order of LANGUAGES
_LETTERS = "ABCEGHJKLMNPRSTVWXYZ"  # in the second and third place of letters; D, F, I, O, Q, U are in none
_RURAL_FROM = 17  # the smallest places of a province, about a sixth of its people
# Faker's own slips.
_CORRECTIONS = (("- ", "-"), ("' ", "'"), ("allé ", "allée "))


@dataclass(frozen=True)
class NamePools:
    """Pools of invented names in one language.

    Attributes:
        female: Given names of women, GIVEN_NAMES of them.
        male: Given names of men, GIVEN_NAMES of them.
        family: FAMILY_NAMES of them.
        streets: STREETS of them.
        cities: Enough for every place of every province.
    """

    female: tuple[str, ...]
    male: tuple[str, ...]
    family: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[str, ...]


@cache
def names(language: int) -> NamePools:
    """Returns the pools of a language, a position in LANGUAGES; the same ones for every world."""
    fake = Faker(_LOCALES[language])
    fake.seed_instance(language + 1)
    return NamePools(
        _pool(fake.first_name_female, GIVEN_NAMES),
        _pool(fake.first_name_male, GIVEN_NAMES),
        _pool(fake.last_name, FAMILY_NAMES),
        _pool(fake.street_name, STREETS),
        _pool(fake.city, 13 * PLACES),
    )


def _pool(draw: Callable[[], str], size: int) -> tuple[str, ...]:
    return tuple(_corrected(draw()) for _ in range(size))


def _corrected(name: str) -> str:
    for wrong, right in _CORRECTIONS:
        name = name.replace(wrong, right)
    return name


def ascii_name(name: str) -> str:
    """Returns a name as it stands in an e-mail address: small letters without accents."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return "".join(letter for letter in plain if letter.isalpha())


@dataclass(frozen=True)
class Places:
    """Where people live: PLACES cities in every province, each with the first half of its postal code.

    Attributes:
        cities: Their names; place p of province q is at q * PLACES + p.
        areas: The first three characters of their postal codes.
        languages: The language of their streets, positions in LANGUAGES.
        weights: How many live in each place of a province, relatively.
    """

    cities: tuple[str, ...]
    areas: tuple[str, ...]
    languages: Ints
    weights: Ints

    def postal_codes(self, place: Ints, local: Ints) -> list[str]:
        """Returns postal codes from places and numbers from 0 to 1999 for the second half."""
        return [
            f"{self.areas[p]} {n % 10}{_LETTERS[n // 10 % 20]}{n // 200 % 10}"
            for p, n in zip(place.tolist(), local.tolist(), strict=True)
        ]


def draw_places(seed: int, reference: ReferenceData) -> Places:
    """Draws the places of a world."""
    draws = Draws(seed, Topic.PLACES)
    cities: list[str] = []
    areas: list[str] = []
    languages: list[int] = []
    for province, code in enumerate(reference.provinces):
        french = _french(code, draws)
        pools = (names(0).cities, names(1).cities)
        cities += [pools[int(fr)][province * PLACES % len(pools[0]) + p] for p, fr in enumerate(french)]
        areas += _areas(reference.prefixes[province], draws)
        languages += french.astype(int).tolist()
    weights = 1000 // np.arange(2, PLACES + 2)
    return Places(tuple(cities), tuple(areas), np.array(languages), weights)


def _french(province: str, draws: Draws) -> Bools:
    share = {"QC": 0.95, "NB": 0.3}.get(province, 0.02)
    return draws.uniform(PLACES) < share


def _areas(prefixes: tuple[str, ...], draws: Draws) -> list[str]:
    """Draws the first halves of postal codes; a 0 in the second place says rural."""
    prefix = draws.integers(0, len(prefixes), PLACES)
    digit = draws.integers(1, 10, PLACES)
    letter = draws.integers(0, len(_LETTERS), PLACES)
    return [
        prefixes[prefix[p]]
        if len(prefixes[prefix[p]]) == 3
        else f"{prefixes[prefix[p]]}{0 if p >= _RURAL_FROM else digit[p]}{_LETTERS[letter[p]]}"
        for p in range(PLACES)
    ]
