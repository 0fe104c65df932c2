"""Texts on paper are measured: they break where they must, and lose no letter unseen."""

import pytest

from staunch_cli.pictures import paper


def test_a_text_breaks_between_words_and_ends_in_an_ellipsis():
    text = "Temps écoulé depuis le dernier paiement refusé"
    assert paper.wrapped(text, 9, 7, most=2) == [text]
    lines = paper.wrapped(text, 1.2, 7, most=5)
    assert " ".join(lines) == text
    assert all(paper.width_in(line, 7) <= 1.2 for line in lines)
    first, last = paper.wrapped(text, 0.9, 7, most=2)
    assert text.startswith(first)
    assert last.endswith("…")


@pytest.mark.parametrize("text", ["", "W", "W" * 80])
def test_a_word_without_blanks_is_cut(text):
    cut = paper.cut(text, 0.5, 8)
    assert cut == text or cut.endswith("…")
    assert paper.width_in(cut, 8) <= 0.5


def test_bold_is_wider():
    assert paper.width_in("Province", 7, "bold") > paper.width_in("Province", 7)
