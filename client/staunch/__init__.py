"""The Python client of Staunch.

    from staunch import Client

    with Client("127.0.0.1:50051") as client:
        print(client.predict(42).probability)

Importing this package loads neither grpc nor protobuf: each name below is loaded when it is first used,
so that `import staunch.v1`, which runs this file, costs a server nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from staunch._async_client import AsyncClient
    from staunch._client import Client
    from staunch._errors import (
        AccessDenied,
        BatchIncomplete,
        ClientClosed,
        Conflict,
        DeadlineExceeded,
        ErrorDetails,
        FieldViolation,
        ForkedProcess,
        InvalidRequest,
        LimitExceeded,
        NotFound,
        PreconditionFailed,
        ServerFault,
        StaunchError,
        Unavailable,
        WrongEventLoop,
    )
    from staunch._packed._rows import PackedRow, PackedRows
    from staunch._packed._schema import FeatureSchema
    from staunch._results import (
        AliasMove,
        Contribution,
        Explanation,
        ExplanationMethod,
        Feature,
        FeatureTexts,
        FeatureType,
        FeatureWarning,
        FeatureWarningKind,
        IdType,
        Metric,
        Model,
        ModelReference,
        ModelState,
        OutputSpace,
        Prediction,
        RiskBand,
        RowError,
        RowExplanation,
        Score,
    )
    from staunch._retry import RetryPolicy

__version__: str

__all__ = [
    "AccessDenied",
    "AliasMove",
    "AsyncClient",
    "BatchIncomplete",
    "Client",
    "ClientClosed",
    "Conflict",
    "Contribution",
    "DeadlineExceeded",
    "ErrorDetails",
    "Explanation",
    "ExplanationMethod",
    "Feature",
    "FeatureSchema",
    "FeatureTexts",
    "FeatureType",
    "FeatureWarning",
    "FeatureWarningKind",
    "FieldViolation",
    "ForkedProcess",
    "IdType",
    "InvalidRequest",
    "LimitExceeded",
    "Metric",
    "Model",
    "ModelReference",
    "ModelState",
    "NotFound",
    "OutputSpace",
    "PackedRow",
    "PackedRows",
    "PreconditionFailed",
    "Prediction",
    "RetryPolicy",
    "RiskBand",
    "RowError",
    "RowExplanation",
    "Score",
    "ServerFault",
    "StaunchError",
    "Unavailable",
    "WrongEventLoop",
]

_MODULES = (
    "_results",
    "_errors",
    "_retry",
    "_packed._rows",
    "_packed._schema",
    "_client",
    "_async_client",
)


def __getattr__(name: str) -> Any:
    """Loads a public name on first use.

    Raises:
        AttributeError: The package has no such name.
    """
    if name == "__version__":
        return globals().setdefault(name, version("staunch-client"))
    if name not in __all__:
        raise AttributeError(f"module 'staunch' has no attribute {name!r}")
    for module in _MODULES:
        found = getattr(import_module(f"staunch.{module}"), name, None)
        if found is not None:
            return globals().setdefault(name, found)
    raise AttributeError(f"'staunch.{name}' is announced and defined nowhere")


def __dir__() -> list[str]:
    """Lists the public names, loaded or not."""
    return __all__
