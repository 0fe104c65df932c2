"""Turns drawn names and addresses into text."""

import numpy as np
from numpy.typing import NDArray

from staunch_local.simulation.background.arrays import Ints
from staunch_local.simulation.background.clock import NEVER
from staunch_local.simulation.background.names import Places, ascii_name, names
from staunch_local.simulation.life.people import HOUSES
from staunch_local.simulation.rows.rows import ColumnArrays

_ERASED = "erased"
_ERASED_EMAIL = "erased@erased.invalid"
_DOMAINS = ("example.com", "example.org", "example.net")  # RFC 2606: nobody's
_MALE = 1


def spell_customers(columns: ColumnArrays) -> ColumnArrays:
    """Returns the customers' columns with names and e-mail addresses as text, save those that are erased.

    Args:
        columns: As drawn: positions in the pools of names, and for the e-mail address the id under which
            the person came first.
    """
    drawn = ("language", "gender", "given_name", "family_name", "email", "erased_at")
    people = [_person(*values) for values in zip(*(columns[name].tolist() for name in drawn), strict=True)]
    given, family, email = ([person[part] for person in people] for part in range(3))
    return {**columns, "given_name": _text(given), "family_name": _text(family), "email": _text(email)}


def _person(
    language: int, gender: int, first: int, last: int, number: int, erased_at: int
) -> tuple[str, str, str]:
    if erased_at != NEVER:
        return _ERASED, _ERASED, _ERASED_EMAIL
    pool = names(language)
    male = gender == _MALE or (gender > _MALE and number % 2 == 1)
    given, family = (pool.male if male else pool.female)[first], pool.family[last]
    return given, family, f"{ascii_name(given)}.{ascii_name(family)}{number}@{_DOMAINS[number % 3]}"


def spell_addresses(columns: ColumnArrays, places: Places) -> ColumnArrays:
    """Returns the addresses' columns with street, city and postal code as text."""
    place = columns["city"].astype(np.int64)
    return {
        **columns,
        "street": _text(_streets(place, columns["street"].astype(np.int64), places)),
        "city": _text([places.cities[p] for p in place.tolist()]),
        "postal_code": _text(places.postal_codes(place, columns["postal_code"].astype(np.int64))),
    }


def _streets(place: Ints, street: Ints, places: Places) -> list[str]:
    pools = (names(0).streets, names(1).streets)
    commas = ("", ",")
    languages = places.languages[place].tolist()
    return [
        f"{drawn % HOUSES}{commas[language]} {pools[language][drawn // HOUSES]}"
        for drawn, language in zip(street.tolist(), languages, strict=True)
    ]


def _text(values: list[str]) -> NDArray[np.bytes_]:
    return np.array([value.encode() for value in values], dtype=np.bytes_)
