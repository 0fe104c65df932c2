"""What Explain and GetModel say of features: in people's words, in the language asked for."""

import gc
import weakref

import pytest
from google.protobuf.struct_pb2 import Value
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Serve
from tests.server.harness.served import MakeServed
from tests.server.small_models import PEOPLE_COLUMNS, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.feature_pb2 import (
    FEATURE_WARNING_KIND_IMPOSSIBLE,
    FEATURE_WARNING_KIND_OUTSIDE_LEARNED,
    Feature,
    FeatureLabel,
)
from staunch_model_store import manifest as written
from staunch_model_store.manifest import LearnedValues
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
    constant = pb.Explanation.FromString(b"".join(features.spoken(served, "fr").contributions[:2]))
    assert [(part.feature, part.title, part.unit) for part in constant.contributions] == [
        ("a", "Montant", "$"),
        ("b", "B", ""),
    ]
    gone = weakref.ref(served)
    del served
    gc.collect()
    assert gone() is None


LEARNED = {
    "a": LearnedValues(minimum=0.0, maximum=5.0, null=False, values=(0.0, 2.0, 5.0)),
    "b": LearnedValues(minimum=0.0, maximum=1.0, null=False),
    "hours": LearnedValues(minimum=1.0, maximum=1e6, null=False),
}


def learned_features() -> tuple[written.Feature, ...]:
    return tuple(
        written.Feature(
            name=c.name, nullable=c.nullable, unit=c.unit, description=c.description, learned=LEARNED[c.name]
        )
        for c in PEOPLE_COLUMNS
    )


@pytest.mark.parametrize(
    ("name", "value", "kind", "ends"),
    [
        ("a", -5, FEATURE_WARNING_KIND_IMPOSSIBLE, (0, None)),
        ("a", 9, FEATURE_WARNING_KIND_OUTSIDE_LEARNED, (0, 5)),
        ("a", 3, FEATURE_WARNING_KIND_OUTSIDE_LEARNED, (None, None)),
        ("a", 4, FEATURE_WARNING_KIND_OUTSIDE_LEARNED, (None, None)),
        ("b", None, FEATURE_WARNING_KIND_OUTSIDE_LEARNED, (None, None)),
        ("b", -0.5, FEATURE_WARNING_KIND_OUTSIDE_LEARNED, (0, 1)),
        ("a", 5, None, ()),
        ("b", 1, None, ()),
    ],
)
async def test_a_value_that_nobody_learned_from_is_scored_and_flagged(
    publish: Publish, serve: Serve, name: str, value: float | None, kind: int | None, ends: tuple[float, ...]
) -> None:
    publish(text=SPOKEN, features=learned_features())
    live = await serve()
    given = Value(null_value="NULL_VALUE") if value is None else Value(number_value=value)
    wanted = {"a": Value(number_value=2), "b": Value(number_value=0.5), name: given}
    asked = {"customer_id": 8, "overrides": wanted}
    predicted = await live.prediction.Predict(pb.PredictRequest(**asked))
    explained = await live.prediction.Explain(pb.ExplainRequest(**asked, language_code="fr"))
    assert predicted.probability == explained.prediction.probability
    for answer, title in ((predicted, "Amount"), (explained.prediction, "Montant")):
        if kind is None:
            assert not answer.warnings
            continue
        (warning,) = answer.warnings
        assert (warning.feature, warning.kind) == (name, kind)
        assert warning.title == (title if name == "a" else "B")
        assert warning.value == (value or 0)
        assert warning.HasField("value") == (value is not None)
        said = [getattr(warning, end) if warning.HasField(end) else None for end in ("minimum", "maximum")]
        assert said == list(ends)
        assert warning.value_label == ("three" if value == 3 else "")


async def test_given_features_and_the_rows_of_a_chunk_are_flagged_too(publish: Publish, serve: Serve) -> None:
    publish(text=SPOKEN, features=learned_features())
    live = await serve()
    values = {"a": Value(number_value=7), "b": Value(number_value=0), "hours": Value(number_value=5)}
    features = pb.FeatureValues(values=values)
    predicted = await live.prediction.Predict(pb.PredictRequest(features=features))
    assert [warning.feature for warning in predicted.warnings] == ["a"]
    ids = [2, 11, 999_999, 13, 30, 7, -1, 5]
    (answer,) = [
        each async for each in live.prediction.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=ids)]))
    ]
    # Of person i the first is i mod 10 and the second missing for each seventh; the eleventh is not eligible.
    assert list(answer.flagged_rows) == [3, 5]
    for place in (0, 3, 4, 5, 7):
        single = await live.prediction.Predict(pb.PredictRequest(customer_id=ids[place]))
        assert bool(single.warnings) == (place in answer.flagged_rows)


async def test_a_version_tells_what_it_learned_from_and_an_older_one_that_it_does_not(
    publish: Publish, serve: Serve
) -> None:
    publish(text=SPOKEN, features=learned_features())
    old = publish(text=SPOKEN)
    assert b'"learned": null' in old.manifest_bytes
    live = await serve()
    told = (await live.models.GetModel(mpb.GetModelRequest(model="churn@1"))).model.features[0]
    assert (told.learned_minimum, told.learned_maximum, told.learned_null) == (0, 5, False)
    assert list(told.learned_values) == [0, 2, 5]
    untold = (await live.models.GetModel(mpb.GetModelRequest(model="churn@2"))).model.features[0]
    assert not untold.HasField("learned_minimum")
    assert not untold.HasField("learned_null")
    asked = {"customer_id": 8, "overrides": {"a": Value(number_value=9)}}
    assert not (await live.prediction.Predict(pb.PredictRequest(**asked))).warnings
    asked["overrides"] = {"a": Value(number_value=-5)}
    assert len((await live.prediction.Predict(pb.PredictRequest(**asked))).warnings) == 1
