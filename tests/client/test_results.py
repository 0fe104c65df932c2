"""What calls return: frozen values in plain Python types."""

from dataclasses import FrozenInstanceError, is_dataclass

import pytest

from staunch import ModelReference, _results


def test_a_reference_reads_as_the_name_that_requests_take():
    assert str(ModelReference("churn", 3, "sha256:3")) == "churn@3"


def test_every_value_is_frozen():
    values = [kind for kind in vars(_results).values() if is_dataclass(kind)]
    assert len(values) == 11
    assert all(kind.__dataclass_params__.frozen for kind in values)
    with pytest.raises(FrozenInstanceError):
        ModelReference("churn", 3, "").version = 4


def test_an_alias_that_is_new_pointed_nowhere_before():
    from staunch import _calls
    from staunch.v1 import model_service_pb2 as models_pb

    decode = _calls.set_alias("churn", "champion", 3, None).decode
    assert decode(models_pb.SetAliasResponse(previous_version=0)).previous_version is None
    assert decode(models_pb.SetAliasResponse(previous_version=1)).previous_version == 1
