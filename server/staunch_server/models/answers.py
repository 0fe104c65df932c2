"""Which name answers by what: decided from what is known, touching neither disk nor database."""

from collections.abc import Collection, Mapping
from dataclasses import astuple
from typing import Protocol, TypeVar

from staunch_model_store.errors import NameInvalid
from staunch_model_store.reference import CHAMPION, parse_reference
from staunch_server.models.stored.aliases import Targets
from staunch_server.types import Alias, Version


class Loaded(Protocol):
    """A version in memory, as far as it matters here."""

    @property
    def checked(self) -> bool:
        """Whether its view has been seen to fit it in the database."""


L = TypeVar("L", bound=Loaded)


def pointed_at(targets: Targets) -> set[Version]:
    """Returns the versions that an alias points at."""
    return {Version(alias.name, target.number) for alias, target in targets.items()}


def aliases_of(version: Version, targets: Targets) -> list[str]:
    """Returns the aliases that point at a version, sorted."""
    wanted = (version.name, version.number)
    return sorted(alias.alias for alias, target in targets.items() if (alias.name, target.number) == wanted)


def meant(model: str, targets: Targets) -> Version | None:
    """Returns the version that "name", "name@3" or "name@alias" means; None if only the store can tell."""
    try:
        name, number, alias = astuple(parse_reference(model))
    except NameInvalid:
        return None
    if alias is not None and (target := targets.get(Alias(name, alias))) is not None:
        number = target.number
    return None if number is None else Version(name, number)


def by_alias(targets: Targets, loaded: Mapping[Version, L], before: Mapping[Alias, L]) -> dict[Alias, L]:
    """Decides what answers for each alias; one that nothing can answer for is left out.

    Its target does, once that is loaded and its view was seen to fit. Until then what answered before stays.
    Where nothing did, a loaded target answers unchecked, so that each call gets the error of its view, and
    answers from the moment it is mended.
    """
    answers: dict[Alias, L] = {}
    for alias, target in targets.items():
        wanted, last = loaded.get(Version(alias.name, target.number)), before.get(alias)
        chosen = last if wanted is None or (last is not None and not wanted.checked) else wanted
        if chosen is not None:
            answers[alias] = chosen
    return answers


def by_name(loaded: Mapping[Version, L], aliases: Mapping[Alias, L], default_model: str) -> dict[str, L]:
    """Lists what a request may write in `model`, and what then answers.

    "churn@3" is that version, "churn@staging" what answers for the alias, "churn" the champion, and "" the
    default model.
    """
    names: dict[str, L] = {str(version): served for version, served in loaded.items()}
    for alias, served in aliases.items():
        names[str(alias)] = served
        if alias.alias == CHAMPION:
            names[alias.name] = served
    if default_model in names:
        names[""] = names[default_model]
    return names


def unneeded(
    loaded: Mapping[Version, L],
    targets: Targets,
    named: Collection[Version],
    aliases: Mapping[Alias, L],
) -> list[Version]:
    """Lists the loaded versions that neither an alias nor a request needs.

    Args:
        loaded: The versions in memory.
        targets: What the aliases point at.
        named: The versions kept because a request named them.
        aliases: What answers for each alias, which may be an older version than the one it points at.
    """
    answering = {id(served) for served in aliases.values()}
    kept = pointed_at(targets).union(named)
    return [
        version for version, served in loaded.items() if version not in kept and id(served) not in answering
    ]
