"""The words around a score, and numbers as each language writes them."""

from dataclasses import fields

import pytest

from staunch_cli.printing.words import ENGLISH, FRENCH, words_in


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("", ENGLISH),
        ("en-CA", ENGLISH),
        ("de", ENGLISH),
        ("fr", FRENCH),
        ("FR-ca", FRENCH),
        ("fr_CA", FRENCH),
        ("fro", ENGLISH),
    ],
)
def test_the_language_decides_the_words(language, words):
    assert words_in(language) is words


def test_both_languages_say_everything_and_with_the_same_places():
    for field in fields(ENGLISH):
        if field.name in ("bands", "verdicts"):
            continue
        english, french = str(getattr(ENGLISH, field.name)), str(getattr(FRENCH, field.name))
        assert english
        assert french
        assert sorted(part.split("}")[0] for part in english.split("{")[1:]) == sorted(
            part.split("}")[0] for part in french.split("{")[1:]
        )
    assert ENGLISH.bands.keys() == FRENCH.bands.keys()
    assert ENGLISH.verdicts.keys() == FRENCH.verdicts.keys()


@pytest.mark.parametrize(
    ("value", "unit", "label", "english", "french"),
    [
        (None, "days", "", "missing", "manquant"),
        (8.0, "", "ON", "ON", "ON"),
        (49.5, "$", "", "49.5 $", "49,5 $"),
        (1234567.8, "$", "", "1,234,568 $", "1\u00a0234\u00a0568 $"),
        (-0.125, "", "", "-0.125", "-0,125"),
    ],
)
def test_a_value_is_written_as_the_language_writes_it(value, unit, label, english, french):
    assert ENGLISH.quantity(value, unit, label) == english
    assert FRENCH.quantity(value, unit, label) == french
