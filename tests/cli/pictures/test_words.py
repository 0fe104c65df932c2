"""The words around pictures."""

from dataclasses import fields

import pytest

from staunch_cli.pictures.words import PictureWords, picture_words
from staunch_cli.printing.words import words_in


@pytest.mark.parametrize(
    ("language", "word"),
    [("fr", "lignes"), ("fr-CA", "lignes"), ("FR_ca", "lignes"), ("en", "rows"), ("de", "rows")],
)
def test_a_language_that_is_not_spoken_is_english(language, word):
    assert picture_words(language).rows == word


def test_both_languages_leave_the_same_gaps():
    english, french = picture_words("en"), picture_words("fr")
    for each in fields(PictureWords):
        if each.name != "plain":
            assert getattr(english, each.name).count("{") == getattr(french, each.name).count("{"), each.name


def test_shares_and_counts_are_written_as_the_language_has_them():
    assert picture_words("en").percent(0.0444) == "4.4%"
    assert picture_words("fr").percent(0.0444) == "4,4\u00a0%"
    assert picture_words("fr").count(1200) == "1\u00a0200"
    assert picture_words("en").short_percent(0.025) == "2.5%"


def test_french_has_a_blank_before_each_colon_and_english_none():
    both = [(picture_words("en"), picture_words("fr")), (words_in("en"), words_in("fr"))]
    for english, french in both:
        for each in fields(english):
            if each.type is str:
                texts = getattr(english, each.name), getattr(french, each.name)
                assert texts[1].count(":") == texts[1].count("\u00a0:"), each.name
                assert " :" not in texts[0].replace("\u00a0", " "), each.name
