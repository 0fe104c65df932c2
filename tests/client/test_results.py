"""What calls return: frozen values in plain Python types."""

from dataclasses import FrozenInstanceError, is_dataclass

import pytest

from staunch import ModelReference, _results


def test_a_reference_reads_as_the_name_that_requests_take():
    assert str(ModelReference("churn", 3, "sha256:3")) == "churn@3"


def test_every_value_is_frozen():
    values = [kind for kind in vars(_results).values() if is_dataclass(kind)]
    assert len(values) == 13
    assert all(kind.__dataclass_params__.frozen for kind in values)
    with pytest.raises(FrozenInstanceError):
        ModelReference("churn", 3, "").version = 4


def test_an_alias_that_is_new_pointed_nowhere_before():
    from staunch import _calls
    from staunch.v1 import model_service_pb2 as models_pb

    decode = _calls.set_alias("churn", "champion", 3, None).decode
    assert decode(models_pb.SetAliasResponse(previous_version=0)).previous_version is None
    assert decode(models_pb.SetAliasResponse(previous_version=1)).previous_version == 1


@pytest.mark.parametrize(
    ("kind", "value", "label", "ends", "said"),
    [
        ("impossible", -5.0, "", (0.0, None), "Tenure -5: impossible (at least 0)"),
        ("outside_learned", 99.0, "", (1.0, 12.5), "Tenure 99: new to the model (at least 1, at most 12.5)"),
        ("outside_learned", None, "", (None, None), "Tenure missing: new to the model"),
        ("outside_learned", 7.0, "", (None, None), "Tenure 7: new to the model"),
        ("outside_learned", 7.0, "a week", (None, None), "Tenure a week: new to the model"),
    ],
)
def test_a_warning_reads_as_a_sentence(kind, value, label, ends, said):
    kind = _results.FeatureWarningKind(kind)
    assert str(_results.FeatureWarning("tenure_days", "Tenure", kind, value, label, *ends)) == said
