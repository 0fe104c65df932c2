"""ModelService: shows the versions of the store and what this process does with them; moves aliases."""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from staunch.v1.model_service_pb2 import (
    DeleteAliasRequest,
    DeleteAliasResponse,
    GetModelRequest,
    GetModelResponse,
    IdType,
    ListModelsRequest,
    ListModelsResponse,
    Metric,
    Model,
    ModelState,
    ReloadModelsRequest,
    ReloadModelsResponse,
    SetAliasRequest,
    SetAliasResponse,
)
from staunch_features.errors import ViewError
from staunch_features.views.file import FeatureView
from staunch_model_store.errors import AliasLimit, AliasMoved, ModelRefused, ModelStoreError
from staunch_model_store.manifest import EXPLAINER_ONNX, NAME, Manifest
from staunch_server.errors import Reason, Refusal, Resource, Violation, field_invalid, refusal_of
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served, view_of
from staunch_server.services.answer import output_space, timestamp
from staunch_server.services.features import described
from staunch_server.statuses import clip
from staunch_server.transport.seam import Call
from staunch_server.types import Alias, Version

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 1000
"""Versions on a page where the request says nothing, and at most."""

_DIGEST = "sha256:"


FOLLOW_S = 5.0
"""How long SetAlias and DeleteAlias wait for the other workers."""

_WAY_BACK_S = 0.3  # of a call's time, kept to say who does not follow


class Siblings(Protocol):
    """The other workers of this server."""

    async def follow(self, alias: Alias, wait_s: float) -> Sequence[str]:
        """Has them follow an alias that moved here; returns which ones do not after so many seconds."""

    def reload(self) -> None:
        """Has them read the store again."""


class ModelServicer:
    """Answers ModelService.

    Args:
        registry: The versions of this process.
        reload: Has it read the store again, once for all who ask.
        siblings: The other workers.
    """

    def __init__(
        self, registry: Registry, reload: Callable[[], Awaitable[list[Version]]], siblings: Siblings
    ) -> None:
        self._registry = registry
        self._store = registry.store
        self._reload = reload
        self._siblings = siblings

    async def list_models(self, request: ListModelsRequest, call: Call) -> ListModelsResponse:
        """Lists versions by name, newest first.

        Raises:
            Refusal: FIELD_INVALID, for a field; MODEL_NOT_FOUND, for a name of which there is no version.
        """
        size = _page_size(request.page_size)
        after = _parse_token(request.page_token) if request.page_token else None
        _refuse_name(request.name)
        versions = await self._registry.disk.run(self._versions, request.name)
        if after is not None:
            versions = [version for version in versions if _order(version) > _order(after)]
        page = versions[:size]
        models = [await self._model(version) for version in page]
        token = _token(page[-1]) if len(versions) > size else ""
        return ListModelsResponse(models=models, next_page_token=token)

    async def get_model(self, request: GetModelRequest, call: Call) -> GetModelResponse:
        """Describes one version in full, whether it is loaded or not.

        Raises:
            Refusal: FIELD_INVALID, MODEL_NOT_FOUND, MODEL_NOT_READY, MODEL_REFUSED.
        """
        version = await self._registry.stored(request.model)
        return GetModelResponse(model=await self._model(version, full=True))

    async def set_alias(self, request: SetAliasRequest, call: Call) -> SetAliasResponse:
        """Points an alias at a version that has been verified; nothing changes if that fails.

        Raises:
            Refusal: FIELD_INVALID, MODEL_NOT_FOUND, MODEL_REFUSED, ALIAS_MOVED, ALIAS_LIMIT; with the alias
                moved, ALIAS_NOT_FOLLOWED.
            DatabaseUnavailable: Its view could not be checked; nothing was changed.
        """
        _refuse_fields(request, {"version": 1, "expected_version": 0})
        version, alias = Version(request.name, request.version), Alias(request.name, request.alias)
        with _about(alias):
            previous = await self._registry.set_alias(version, alias.alias, _expected_version(request))
        await self._have_followed(alias, version.number, call)
        return SetAliasResponse(model=await self._model(version), previous_version=previous)

    async def delete_alias(self, request: DeleteAliasRequest, call: Call) -> DeleteAliasResponse:
        """Takes an alias away; one that is gone already is well.

        Raises:
            Refusal: FIELD_INVALID, MODEL_NOT_FOUND, ALIAS_MOVED; with the alias deleted, ALIAS_NOT_FOLLOWED.
        """
        _refuse_fields(request, {"expected_version": 1})
        alias = Alias(request.name, request.alias)
        with _about(alias):
            previous = await self._registry.delete_alias(alias, _expected_version(request))
        await self._have_followed(alias, 0, call)
        return DeleteAliasResponse(previous_version=previous)

    async def _have_followed(self, alias: Alias, number: int, call: Call) -> None:
        """Waits until every other worker answers by what an alias points at now, 0 for nothing."""
        wait_s = max(0.0, min(FOLLOW_S, call.answer_by().left() - _WAY_BACK_S))
        late = await self._siblings.follow(alias, wait_s)
        if not late:
            return
        workers = ", ".join(late)
        now = f"{alias} points at version {number} now" if number else f"{alias} is deleted"
        raise Refusal(
            Reason.ALIAS_NOT_FOLLOWED,
            f"{now}, and this worker answers by that; these do not yet (by their numbers): {workers}. They "
            "follow by themselves as soon as they can: do not repeat the call to move it, the server's log "
            "says what holds them up.",
            resource=Resource("alias", str(alias)),
            metadata={"alias": str(alias), "current_version": str(number), "workers": workers},
        )

    async def reload_models(self, request: ReloadModelsRequest, call: Call) -> ReloadModelsResponse:
        """Reads the store again, here and in the other workers; says what changed here.

        Raises:
            Refusal: STORE_UNAVAILABLE.
        """
        changed = await self._reload()
        self._siblings.reload()
        held = [version for version in changed if await self._exists(version)]
        return ReloadModelsResponse(models=[await self._model(version) for version in held])

    async def _exists(self, version: Version) -> bool:
        return version.number in await self._registry.disk.run(self._store.versions, version.name)

    def _versions(self, name: str) -> list[Version]:
        if not name:
            return [version for each in self._store.names() for version in self._readable_versions(each)]
        found = [Version(name, number) for number in self._store.versions(name)]
        if not found:
            raise self._not_found(name)
        return found

    def _readable_versions(self, name: str) -> list[Version]:
        """Lists a model's versions; none if its folder cannot be read, so that the others are listed."""
        try:
            return [Version(name, number) for number in self._store.versions(name)]
        except OSError:
            return []

    def _not_found(self, name: str) -> Refusal:
        held = ", ".join(self._store.names()[:10])
        message = f"{name}: expected a model of the store, which holds {held or 'none'}."
        facts = {"model": name, "available": held}
        return Refusal(Reason.MODEL_NOT_FOUND, message, resource=Resource("model", name), metadata=facts)

    async def _model(self, version: Version, *, full: bool = False) -> Model:
        """Describes a version; of one with an unreadable manifest only its name and the trouble."""
        status, held = self._registry.status(version), self._registry.held(version)
        model = Model(
            name=version.name,
            version=version.number,
            state=ModelState.Value(f"MODEL_STATE_{status.state}"),
            state_reason=status.reason,
            state_message=status.message,
        )
        try:
            if held:
                model.aliases.extend(self._registry.pointing(version))
            else:
                model.aliases.extend(await self._registry.disk.run(self._aliases, version))
            raw = (
                held.manifest_bytes
                if held
                else await self._registry.disk.run(self._store.manifest_bytes, *version)
            )
            _describe(model, raw)
            if full:
                await self._describe_features(model, raw, held)
        except ModelRefused as error:
            model.state_message = model.state_message or str(error)
        return model

    async def _describe_features(self, model: Model, raw: bytes, held: Served | None) -> None:
        """Fills in what a list leaves out; the features' texts from the view that the version carries."""
        manifest = Manifest.parse(raw)
        version = Version(model.name, model.version)
        view = held.view.text if held else await self._registry.disk.run(self._view, version)
        model.features.extend(described(manifest.features, view))
        if view is not None:
            model.language_code, model.eligible = view.language, view.eligible
            for language, texts in view.translations.items():
                if "eligible" in texts:
                    model.eligible_translations[language] = texts["eligible"]
        model.metrics.extend(_metrics(manifest))
        model.manifest_json = raw

    def _view(self, version: Version) -> FeatureView | None:
        """Reads the view of a version that is not in memory; None if that cannot be read."""
        try:
            return view_of(self._store.read(*version))
        except (ModelStoreError, ViewError):
            return None

    def _aliases(self, version: Version) -> list[str]:
        aliases = self._store.aliases(version.name)
        return sorted(alias for alias, number in aliases.items() if number == version.number)


def _describe(model: Model, raw: bytes) -> None:
    """Fills in what the manifest says; raises ModelRefused if it is not readable."""
    manifest = Manifest.parse(raw)
    model.digest = _DIGEST + hashlib.sha256(raw).hexdigest()
    model.create_time.CopyFrom(timestamp(manifest.create_time))
    model.view = manifest.view
    model.id_type = IdType.Value(f"ID_TYPE_{manifest.id_type.upper()}")
    model.view_digest = _DIGEST + manifest.view_sha256
    model.features_digest = manifest.features_digest
    if EXPLAINER_ONNX in manifest.files:
        model.output_space = output_space(manifest)
    model.horizon_days = manifest.horizon_days
    if manifest.thresholds is not None:
        model.medium_threshold, model.high_threshold = manifest.thresholds.medium, manifest.thresholds.high


def _metrics(manifest: Manifest) -> list[Metric]:
    return [
        Metric(name=metric.name, value=metric.value, lower=metric.lower, upper=metric.upper)
        for metric in manifest.metrics
    ]


@contextmanager
def _about(alias: Alias) -> Iterator[None]:
    """Names the alias in what callers are told of it."""
    try:
        yield
    except (AliasMoved, AliasLimit) as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        refusal.resource = Resource("alias", str(alias))
        raise refusal from error


def _expected_version(request: SetAliasRequest | DeleteAliasRequest) -> int | None:
    return request.expected_version if request.HasField("expected_version") else None


def _refuse_fields(request: SetAliasRequest | DeleteAliasRequest, least: Mapping[str, int]) -> None:
    """Refuses names that are none and numbers below the least; a number that is absent is well."""
    wrong = [
        {"field": field, "expected": NAME.pattern, "got": name[:40]}
        for field, name in (("name", request.name), ("alias", request.alias))
        if not NAME.fullmatch(name)
    ]
    for field, number in least.items():
        got = getattr(request, field)
        if got < number and (field == "version" or request.HasField("expected_version")):
            wrong.append({"field": field, "expected": f"{number} or more", "got": str(got)})
    if wrong:
        violations = [Violation(one["field"], _expected(**one)) for one in wrong]
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise Refusal(Reason.FIELD_INVALID, f"{text}.", violations, metadata=wrong[0])


def _refuse_name(name: str) -> None:
    if name and not NAME.fullmatch(name):
        shown = clip(name, 40)
        wrong = Violation("name", f"expected {NAME.pattern} or none, got {shown!r}")
        message = f"name: {wrong.description}; a version is asked for by GetModel."
        raise field_invalid(message, wrong, expected=NAME.pattern, got=shown)


def _expected(field: str, expected: str, got: str) -> str:
    shown = got if field.endswith("version") else repr(got)
    return f"expected {expected}, got {shown}"


def _page_size(asked: int) -> int:
    if asked < 0:
        message = f"Expected a page_size of 0 ({DEFAULT_PAGE_SIZE}) or more, got {asked}."
        wrong = Violation("page_size", "is below 0")
        raise field_invalid(message, wrong, expected="0 or more", got=asked)
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _order(version: Version) -> tuple[str, int]:
    """By name, newest first."""
    return version.name, -version.number


def _token(last: Version) -> str:
    """Names the last version of a page; opaque to callers, so that what it holds may change."""
    return base64.urlsafe_b64encode(str(last).encode()).decode()


def _parse_token(token: str) -> Version:
    try:
        name, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition("@")
        return Version(name, int(number))
    except ValueError as error:  # binascii.Error and UnicodeError are ValueErrors too.
        message = "Expected a page_token that ListModels gave, got another text; begin with an empty one."
        wrong = Violation("page_token", "is not ours")
        raise field_invalid(message, wrong, expected="a token of ListModels", got=token) from error
