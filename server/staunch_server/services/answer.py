"""From a score to the messages that answer."""

import math
import struct
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from google.protobuf.struct_pb2 import NULL_VALUE, Value
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from staunch.v1.prediction_service_pb2 import (
    RISK_BAND_HIGH,
    RISK_BAND_LOW,
    RISK_BAND_MEDIUM,
    RISK_BAND_UNSPECIFIED,
    ModelReference,
    OutputSpace,
    PredictResponse,
    RiskBand,
)
from staunch_model_store.manifest import Manifest
from staunch_server.models.served import Served
from staunch_server.services.features import warnings
from staunch_server.types import Flag, Floats

# By the number of `types.RiskBand`.
_BANDS = (RISK_BAND_UNSPECIFIED, RISK_BAND_LOW, RISK_BAND_MEDIUM, RISK_BAND_HIGH)

# What an answer says of its customer on the wire: a double behind the tag of field 1, and the number of a
# band, which is below 128, behind that of field 2. To make a message of the two costs a call 2 µs.
_OWN, _PROBABILITY, _BAND = struct.Struct("<BdBB"), 1 << 3 | 1, 2 << 3

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Answer(NamedTuple):
    """A score and what it was computed from. A tuple, as `events.CallEnded` is.

    Attributes:
        values: Float64 (features,), overrides applied, NaN is null.
        probability: 0 to 1.
        as_of: The moment the values were read as of; None if the request gave them or the view has no time.
        flags: The values that the model did not learn from.
    """

    values: Floats
    probability: float
    as_of: datetime | None
    flags: tuple[Flag, ...] = ()


def respond(served: Served, answered: Answer, *, include: bool, language_code: str = "") -> PredictResponse:
    """Returns the message of a score.

    Args:
        served: The version that answered.
        answered: The score.
        include: Whether to add the values it was computed from.
        language_code: The language of warnings; empty is the view's own.
    """
    response = _own(served, answered, include=include, language_code=language_code)
    response.MergeFrom(_shared(served, answered.as_of))
    return response


def _shared(served: Served, as_of: datetime | None) -> PredictResponse:
    """What the answers of a batch have in common: the version and the moment."""
    return PredictResponse(model=reference(served), as_of_time=None if as_of is None else timestamp(as_of))


def _own(served: Served, answered: Answer, *, include: bool, language_code: str) -> PredictResponse:
    """What an answer says of its customer."""
    probability = answered.probability
    response = PredictResponse(probability=probability, risk_band=risk_band(served, probability))
    if include:
        for name, value in zip(served.columns, answered.values.tolist(), strict=True):
            set_value(response.features[name], value)  # reading a key of a proto map makes it
    if answered.flags:
        response.warnings.extend(warnings(served, answered.flags, answered.values, language_code))
    return response


class Encoder:
    """Encodes answers; what those of a batch share, the version and the moment, is encoded once for them all.

    Messages merge by concatenation, so an answer is its own fields and, behind them, the bytes of the others.
    """

    def __init__(self) -> None:
        # By digest and not by version, which would stay in memory after another has replaced it.
        self._key: tuple[str, datetime | None] = ("", None)
        self._shared = b""

    def encoded(self, served: Served, answered: Answer, *, include: bool) -> bytes:
        """Returns what `respond` says, in the view's own language, as bytes."""
        key = (served.digest, answered.as_of)
        if key != self._key:
            self._key, self._shared = key, _shared(served, answered.as_of).SerializeToString()
        if not (include or answered.flags):
            probability = answered.probability
            return _OWN.pack(_PROBABILITY, probability, _BAND, served.band(probability)) + self._shared
        return _own(served, answered, include=include, language_code="").SerializeToString() + self._shared


def risk_band(served: Served, probability: float) -> RiskBand.ValueType:
    """Returns the class of action of a probability as the contract has it."""
    return _BANDS[served.band(probability)]


def risk_bands(bands: NDArray[np.intp]) -> list[RiskBand.ValueType]:
    """Returns numbers of `types.RiskBand`, intp (n,), as the contract has them."""
    return [_BANDS[band] for band in bands.tolist()]


def reference(served: Served) -> ModelReference:
    """Returns how answers name the version that computed them."""
    return ModelReference(
        name=served.version.name,
        version=served.version.number,
        digest=served.digest,
        horizon_days=served.manifest.horizon_days,
    )


def output_space(manifest: Manifest) -> OutputSpace.ValueType:
    """Returns the space that a version's contributions add up in, as the contract has it."""
    return OutputSpace.Value(f"OUTPUT_SPACE_{manifest.output_space}")


def timestamp(when: datetime) -> Timestamp:
    """Returns a datetime as a Timestamp, exact to the microsecond."""
    since = when - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def set_value(message: Value, value: float) -> None:
    """Sets a value; NaN is null, said outright, since a Value without a kind has no form in JSON."""
    if math.isnan(value):
        message.null_value = NULL_VALUE
    else:
        message.number_value = value
