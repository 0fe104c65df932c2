"""What Explain and GetModel say of features: in people's words, in the language asked for."""

import gc
import weakref

import pytest
from google.protobuf.struct_pb2 import Value
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Serve
from tests.server.harness.served import MakeServed
from tests.server.small_models import view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.feature_pb2 import Feature, FeatureLabel
from staunch_server.services import features

SPOKEN = view_text().replace(
    'a = { unit = "CAD", description = "The a.",',
    'a = { title = "Amount", "title.fr" = "Montant", unit = "CAD", "unit.fr" = "$", description = "The a.", '
    'labels = { 2 = "two", 3 = "three" }, "labels.fr" = { 2 = "deux" }, range = [0, inf],',
)


def contribution(answer: pb.ExplainResponse, name: str = "a") -> pb.FeatureContribution:
    return next(each for each in answer.explanation.contributions if each.feature == name)


@pytest.mark.parametrize(
    ("asked", "language", "title", "unit", "label"),
    [
        ("", "en", "Amount", "CAD", "two"),
        ("fr", "fr", "Montant", "$", "deux"),
        ("fr-CA", "fr", "Montant", "$", "deux"),
        ("FR_ca", "fr", "Montant", "$", "deux"),
        ("en-GB", "en", "Amount", "CAD", "two"),
        ("de", "en", "Amount", "CAD", "two"),
    ],
)
async def test_a_contribution_speaks_the_language_asked_for(
    publish: Publish, serve: Serve, asked: str, language: str, title: str, unit: str, label: str
) -> None:
    publish(text=SPOKEN)
    live = await serve()
    request = pb.ExplainRequest(customer_id=8, overrides={"a": Value(number_value=2)}, language_code=asked)
    answer = await live.prediction.Explain(request)
    part = contribution(answer)
    assert answer.explanation.language_code == language
    assert (part.title, part.unit, part.value_label, part.value.number_value) == (title, unit, label, 2)
    assert (part.overridden, contribution(answer, "hours").overridden) == (True, False)
    # What nobody named has its name in words, in any language.
    assert contribution(answer, "hours").title == "Hours"


async def test_a_value_without_a_label_has_none_and_an_untranslated_label_stays(
    publish: Publish, serve: Serve
) -> None:
    publish(text=SPOKEN)
    live = await serve()
    for value, label in ((3, "three"), (4, ""), (2.5, "")):
        request = pb.ExplainRequest(
            customer_id=8, overrides={"a": Value(number_value=value)}, language_code="fr"
        )
        assert contribution(await live.prediction.Explain(request)).value_label == label


@pytest.mark.parametrize("code", ["français", "f", "fr CA", "-", "x" * 36, "fr-" * 20])
async def test_what_is_no_language_is_refused(publish: Publish, serve: Serve, code: str) -> None:
    publish()
    live = await serve()
    error = await failure(live.prediction.Explain(pb.ExplainRequest(customer_id=8, language_code=code)))
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert [field for field, _ in error.violations] == ["language_code"]


@pytest.mark.parametrize("is_held", [True, False])
async def test_a_version_tells_its_features_in_all_languages_loaded_or_not(
    publish: Publish, serve: Serve, is_held: bool
) -> None:
    publish(text=SPOKEN)
    if not is_held:
        publish()  # the champion moves on
    live = await serve()
    model = (await live.models.GetModel(mpb.GetModelRequest(model="churn@1"))).model
    assert (model.state == mpb.MODEL_STATE_READY) == is_held
    assert model.language_code == "en"
    a, b, hours = model.features
    assert (a.title, a.unit, a.null_meaning, a.description) == ("Amount", "CAD", "", "The a.")
    assert list(a.labels) == [FeatureLabel(value=2, label="two"), FeatureLabel(value=3, label="three")]
    assert (a.HasField("minimum"), a.minimum, a.HasField("maximum")) == (True, 0, False)
    assert (b.title, b.null_meaning, b.HasField("minimum")) == ("B", "not known", False)
    assert list(a.translations) == ["fr"]
    french = a.translations["fr"]
    assert (french.title, french.unit, french.description) == ("Montant", "$", "The a.")
    assert [label.label for label in french.labels] == ["deux", "three"]
    assert not hours.translations


async def test_a_version_whose_text_cannot_be_read_tells_what_its_manifest_does(
    publish: Publish, serve: Serve
) -> None:
    stored = publish(text=SPOKEN)
    publish()
    live = await serve()
    (live.server.registry.store.root / "churn/versions/1/features.sql").write_text("nothing")
    model = (await live.models.GetModel(mpb.GetModelRequest(model="churn@1"))).model
    told = [(f.name, f.title, f.unit, f.nullable) for f in model.features]
    assert told == [(f.name, f.name.title(), f.unit, f.nullable) for f in stored.manifest.features]
    assert model.language_code == ""


def test_messages_are_made_once_a_version_and_language_and_go_with_it(make: MakeServed) -> None:
    served = make(text=SPOKEN)
    assert features.spoken(served, "fr-CA") is features.spoken(served, "fr")
    assert features.spoken(served, "de") is features.spoken(served, "")
    assert isinstance(features.spoken(served, "").features[0], Feature)
    gone = weakref.ref(served)
    del served
    gc.collect()
    assert gone() is None
