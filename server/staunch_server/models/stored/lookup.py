"""What a request's `model` means, and how callers are told what is wrong with a version."""

from collections.abc import Iterator
from contextlib import contextmanager

from staunch_features.errors import ViewError
from staunch_model_store.errors import ModelNotFound, ModelRefused, ModelStoreError, NameInvalid
from staunch_model_store.store import ModelStore
from staunch_server.errors import Reason, Refusal, Resource, Violation, refusal_of
from staunch_server.types import Version


def resource(version: Version) -> Resource:
    """Returns a version as errors name it."""
    return Resource("model", str(version))


def refused(error: Exception, model: str, **facts: str) -> Refusal:
    """The refusal of a version, or of what a model's name means, for what is wrong with it."""
    facts |= {"model": model, "problem": str(error)}
    return Refusal(Reason.MODEL_REFUSED, str(error), resource=Resource("model", model), metadata=facts)


def not_ready(message: str, model: str, **facts: str) -> Refusal:
    """The refusal of a model while no version of it answers."""
    facts |= {"model": model}
    return Refusal(Reason.MODEL_NOT_READY, message, resource=Resource("model", model), metadata=facts)


@contextmanager
def about(version: Version) -> Iterator[None]:
    """Names the version in what callers are told of errors of it."""
    try:
        yield
    except (ModelStoreError, ViewError) as error:
        if (refusal := refusal_of(error, str(version))) is None:
            raise
        raise refusal from error


def find(store: ModelStore, default_model: str, model: str) -> Version:
    """Finds the version that "name", "name@version", "name@alias" or "" means now; touches the disk.

    Raises:
        Refusal: FIELD_INVALID; MODEL_NOT_FOUND; MODEL_NOT_READY for the default model before its first
            version; MODEL_REFUSED if the aliases cannot be read.
    """
    wanted = model or default_model
    try:
        return Version(*store.resolve(wanted))
    except NameInvalid as error:
        violation = Violation("model", "expected name, name@version or name@alias")
        facts = error.facts
        raise Refusal(Reason.FIELD_INVALID, f"model: {error}.", [violation], metadata=facts) from error
    except ModelNotFound as error:
        raise _not_found(store, default_model, model, error) from error
    except ModelRefused as error:
        raise refused(error, wanted) from error


def _not_found(store: ModelStore, default_model: str, model: str, error: ModelNotFound) -> Refusal:
    """Tells a first version that is yet to come from a name that is wrong or was left out."""
    wanted = model or default_model
    held = store.names()
    if wanted == default_model and not held:
        message = f"No version of {wanted} has been published yet; run `staunch train`, then try again."
        return not_ready(message, wanted)
    message = str(error)
    if not model and default_model not in held:
        message = (
            f"Expected the name of a model, since the default model {wanted} has no version; the store "
            f"holds {', '.join(held[:10])}. Name one in the request, or set STAUNCH_DEFAULT_MODEL."
        )
    facts = error.facts | {"model": wanted}
    return Refusal(Reason.MODEL_NOT_FOUND, message, resource=Resource("model", wanted), metadata=facts)
