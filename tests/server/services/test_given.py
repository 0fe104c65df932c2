"""Packed features, read without a server: which are a row of a version, and what is said of the others."""

import itertools
import math

import numpy as np
import pytest
from tests.server.harness.served import MakeServed
from tests.server.small_models import PEOPLE_COLUMNS

from staunch.v1.prediction_service_pb2 import PackedFeatures
from staunch_features.views.rules import LARGEST_VALUE
from staunch_features.views.signature import features_digest
from staunch_server.errors import Reason, Refusal
from staunch_server.models.served import Served
from staunch_server.services import given as reading

DIGEST = features_digest(PEOPLE_COLUMNS)
ABOVE = math.nextafter(LARGEST_VALUE, math.inf)


@pytest.fixture
def served(make: MakeServed) -> Served:
    return make()


def packed(*values: float, digest: str = DIGEST) -> PackedFeatures:
    return PackedFeatures(values=values, features_digest=digest)


def refusal(served: Served, features: PackedFeatures) -> Refusal:
    with pytest.raises(Refusal) as caught:
        reading.packed_row(served, features)
    return caught.value


def test_a_row_is_read_bit_for_bit_with_nan_for_null(served: Served) -> None:
    for row in ((-0.0, math.nan, 0.1 + 0.2), (LARGEST_VALUE, -LARGEST_VALUE, 5e-324)):
        assert reading.packed_row(served, packed(*row)).tobytes() == np.array(row).tobytes()


def test_rows_are_read_one_after_the_other(served: Served) -> None:
    assert reading.packed_rows(served, packed(*range(6))).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert reading.packed_rows(served, packed()).shape == (0, 3)


def test_values_come_whole_also_from_who_does_not_pack_them_on_the_wire(served: Served) -> None:
    """Proto has a reader take doubles one by one, and in several pieces."""
    whole = packed(1, 2, 3).SerializeToString()
    one_by_one = b"".join(b"\x09" + np.float64(value).tobytes() for value in (1, 2, 3))
    pieces = packed(1, digest="").SerializeToString() + packed(2, 3, digest="").SerializeToString()
    for raw in (whole, one_by_one, pieces):
        read = PackedFeatures.FromString(raw)
        read.features_digest = DIGEST
        assert reading.packed_row(served, read).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("features", "field", "expected", "got", "words"),
    [
        (
            packed(1, 2, 3, digest="sha256:0"),
            "features_digest",
            DIGEST,
            "sha256:0",
            "got features_digest sha256:0",
        ),
        (
            packed(1, 2, 3, digest=""),
            "features_digest",
            DIGEST,
            "",
            "got features_digest none; GetModel gives",
        ),
        (packed(1, 2), "values", "3 for each row", "2", "values, 3 for each row, of churn@1, got 2 values"),
        (packed(), "values", "3 for each row", "0", "got 0 values"),
        (packed(*range(6)), "values", "3 for each row", "6", "got 6 values"),
    ],
)
def test_what_was_packed_for_other_features_is_refused_and_says_how_to_pack(
    served: Served, features: PackedFeatures, field: str, expected: str, got: str, words: str
) -> None:
    refused = refusal(served, features)
    metadata = {"model": "churn@1", "field": f"packed_features.{field}", "expected": expected, "got": got}
    assert (refused.reason, refused.metadata) == (Reason.FEATURES_MISMATCH, metadata)
    assert [one.field for one in refused.violations] == [f"packed_features.{field}"]
    assert words in refused.message
    assert refused.message.endswith("pack the values again.")


@pytest.mark.parametrize(
    ("row", "reason", "columns"),
    [
        ((math.nan, math.nan, math.nan), Reason.FEATURE_MISSING, {0: "a", 2: "hours"}),
        ((math.inf, math.nan, -math.inf), Reason.FEATURE_NOT_FINITE, {0: "a", 2: "hours"}),
        ((1, ABOVE, math.nan), Reason.FEATURE_NOT_FINITE, {1: "b"}),
        ((1, -ABOVE, 1), Reason.FEATURE_NOT_FINITE, {1: "b"}),
    ],
)
def test_a_value_that_no_model_may_be_given_is_named_by_feature_and_place(
    served: Served, row: tuple[float, ...], reason: Reason, columns: dict[int, str]
) -> None:
    refused = refusal(served, packed(*row))
    assert refused.reason is reason
    assert [one.field for one in refused.violations] == [f"packed_features.values[{i}]" for i in columns]
    assert f": {', '.join(columns.values())}; GetModel lists the features" in refused.message
    assert refused.metadata["count"] == str(len(columns))


VALUES = (0.0, math.nan, math.inf, -math.inf, ABOVE, -LARGEST_VALUE)


def test_bad_rows_of_many_are_refused_as_each_alone(served: Served) -> None:
    rows = list(itertools.product(VALUES, repeat=3))
    refused = reading.bad_rows(served, np.array(rows))
    for place, row in enumerate(rows):
        alone = None
        try:
            reading.packed_row(served, packed(*row))
        except Refusal as error:
            alone = (error.reason, error.message)
        found = refused.get(place)
        assert (found and (found.reason, found.message)) == alone
    assert len(refused) == 6**3 - 2 * 3 * 2  # a and hours are finite, b may be null too
