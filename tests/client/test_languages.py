"""Which language serves who asks: one table for the server, the clients, the fake server and the command."""

from argparse import ArgumentParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.conftest import publish as publish
from tests.server.conftest import store as store
from tests.server.harness.served import MakeServed
from tests.server.small_models import view_text

from staunch import Client, InvalidRequest
from staunch._arguments import is_language_tag
from staunch._results import nearest_language
from staunch._wire import feature
from staunch.testing import FakeServer
from staunch.v1.feature_pb2 import Feature
from staunch_cli.printing.words import ENGLISH, FRENCH, words_in
from staunch_cli.shared.call_arguments import add_language
from staunch_features.views.feature_doc import find_language
from staunch_server.errors import Refusal
from staunch_server.services import features

ANSWERS = {
    "": "en",
    "en": "en",
    "en-GB": "en",
    "fr": "fr",
    "FR": "fr",
    "fr-CA": "fr",
    "fr_CA": "fr",
    "fr-Latn-CA": "fr",
    "fr-x-much-more": "fr",
    "fra": "en",
    "frr": "en",
    "fry-FR": "en",
    "de": "en",
    "de-fr": "en",
}
"""By tag, the language of an answer where the view is in English and has French too."""

NO_TAGS = ["f", "fr-", "-fr", "fr--CA", "fr CA", "français", "fr\n", "fr.CA", "9", "fr-ninetales", "fr" * 20]

FRENCH_TOO = view_text().replace(
    'a = { unit = "CAD",', 'a = { title = "Amount", "title.fr" = "Montant", unit = "CAD",'
)


def test_all_answer_alike_in_the_language_that_serves(publish) -> None:
    served = MakeServed(publish)(text=FRENCH_TOO)
    (message, *_) = features.described(served.manifest.features, served.view.text)
    column = feature(message, "en")
    with FakeServer() as fake, Client(fake.target) as client:
        for tag, language in ANSWERS.items():
            words = features.spoken(served, tag)
            assert (words.language, tag) == (language, tag)
            assert column.in_language(tag).language == language
            assert column.in_language(tag).title == words.features[0].title
            assert client.explain(42, language=tag).language == language
            assert words_in(tag) is (FRENCH if language == "fr" else ENGLISH)


@pytest.mark.parametrize("text", NO_TAGS)
def test_all_refuse_what_is_no_tag(publish, capsys, text) -> None:
    served = MakeServed(publish)(text=FRENCH_TOO)
    with pytest.raises(Refusal) as refused:
        features.spoken(served, text)
    with FakeServer() as fake, Client(fake.target) as client:
        with pytest.raises(InvalidRequest) as raised:
            client.explain(42, language=text)
        with pytest.raises(InvalidRequest, match="language_code"):
            list(client.batch_predict([1], top_contributions=1, language=text))
    assert raised.value.reason == refused.value.reason.name == "FIELD_INVALID"
    assert str(refused.value) in str(raised.value)
    parser = ArgumentParser()
    add_language(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([f"--language={text}"])
    assert 'expected a language such as "fr" or "fr-CA"' in capsys.readouterr().err


PARTS = st.sampled_from(["en", "fr", "us", "ca", "x", "Latn", "FR"])
TAGS = st.lists(PARTS, min_size=1, max_size=4).map("-".join)


@given(asked=TAGS | st.text(max_size=12), languages=st.sets(TAGS.map(str.lower), max_size=4))
def test_client_and_server_choose_alike_whatever_a_view_has(asked: str, languages: set[str]) -> None:
    assert nearest_language(asked, languages) == (find_language(asked.replace("_", "-"), languages) or "")


def test_a_feature_goes_from_one_language_to_another_and_back() -> None:
    """The own one of "en-us" comes before a translation of "en"."""
    message = Feature(name="a", title="Color")
    for tag, title in (("en", "Colour"), ("fr", "Couleur")):
        message.translations[tag].title = title
    own = feature(message, "en-us")
    titles = {tag: own.in_language(tag).title for tag in ("en-US-x", "en-GB", "fr", "de")}
    assert titles == {"en-US-x": "Color", "en-GB": "Colour", "fr": "Couleur", "de": "Color"}
    assert own.in_language("fr").in_language("en-us") == own
    assert own.in_language("fr").in_language("en").title == "Colour"


@pytest.mark.parametrize("text", NO_TAGS)
def test_what_is_no_tag_is_known(text: str) -> None:
    assert not is_language_tag(text)
