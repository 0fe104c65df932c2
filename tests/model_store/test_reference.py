"""How versions are numbered and models are called; references as a store takes them are in test_store.py."""

import pytest

from staunch_model_store.errors import NameInvalid
from staunch_model_store.reference import LAST_VERSION, is_number, is_version, refuse_name


@pytest.mark.parametrize("text", ["1", "10", str(LAST_VERSION)])
def test_numbers_of_versions(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize(
    "text", ["", "0", "01", "-1", "1.0", "²", "\u0661", "x", str(LAST_VERSION + 1), "9" * 5000]
)
def test_what_is_none(text: str) -> None:
    assert not is_version(text)


def test_a_number_may_be_of_any_length_and_has_plain_digits() -> None:
    assert is_number("0" * 5000)
    assert not is_number("\u0661")


@pytest.mark.parametrize("name", ["", "1", "A", "a b", "a" * 64, "a\n"])
def test_what_nothing_can_be_called_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(NameInvalid, match=r"^alias: expected ") as caught:
        refuse_name("alias", name)
    assert caught.value.facts["field"] == "alias"
