"""Which name answers by what: what must hold for every state of aliases and versions."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from staunch_model_store.reference import CHAMPION
from staunch_server.models import answers
from staunch_server.models.stored.aliases import Target, Targets
from staunch_server.types import Alias, Version


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version in memory."""

    version: Version
    checked: bool


NAMES = ("churn", "spend")
VERSIONS = st.builds(Version, st.sampled_from(NAMES), st.integers(1, 3))
ALIASES = st.builds(Alias, st.sampled_from(NAMES), st.sampled_from((CHAMPION, "next")))
TARGETS = st.dictionaries(ALIASES, st.builds(Target, st.integers(1, 3), st.just("")))


@st.composite
def loaded_versions(draw: st.DrawFn) -> dict[Version, Loaded]:
    versions = draw(st.sets(VERSIONS))
    return {version: Loaded(version, draw(st.booleans())) for version in versions}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Targets, dict[Version, Loaded], dict[Alias, Loaded]]:
    """Targets, what is loaded, and what answered before: loaded versions, or ones replaced since."""
    loaded = draw(loaded_versions())
    older = st.builds(Loaded, VERSIONS, st.booleans())
    some = st.sampled_from(list(loaded.values())) | older if loaded else older
    return draw(TARGETS), loaded, draw(st.dictionaries(ALIASES, some))


def target_of(targets: Targets, alias: Alias) -> Version:
    return Version(alias.name, targets[alias].number)


@given(worlds())
def test_an_alias_answers_by_its_target_once_that_is_loaded_and_fits(
    world: tuple[Targets, dict[Version, Loaded], dict[Alias, Loaded]],
) -> None:
    targets, loaded, before = world
    for alias, served in answers.by_alias(targets, loaded, before).items():
        wanted = loaded.get(target_of(targets, alias))
        if wanted is not None and wanted.checked:
            assert served is wanted
        else:
            assert served in (wanted, before.get(alias))


@given(worlds())
def test_an_alias_that_answered_never_loses_its_answer_while_it_points_anywhere(
    world: tuple[Targets, dict[Version, Loaded], dict[Alias, Loaded]],
) -> None:
    targets, loaded, before = world
    answering = answers.by_alias(targets, loaded, before)
    assert {alias for alias in before if alias in targets} <= answering.keys() <= targets.keys()


@given(worlds())
def test_an_unchecked_target_takes_no_ones_place(
    world: tuple[Targets, dict[Version, Loaded], dict[Alias, Loaded]],
) -> None:
    targets, loaded, before = world
    for alias, served in answers.by_alias(targets, loaded, before).items():
        if alias in before and not served.checked:
            assert served is before[alias]


@given(worlds())
def test_what_is_loaded_answers_where_nothing_did_though_it_is_unchecked(
    world: tuple[Targets, dict[Version, Loaded], dict[Alias, Loaded]],
) -> None:
    targets, loaded, _ = world
    answering = answers.by_alias(targets, loaded, {})
    assert answering == {
        alias: loaded[target_of(targets, alias)] for alias in targets if target_of(targets, alias) in loaded
    }


@given(loaded_versions(), st.dictionaries(ALIASES, st.builds(Loaded, VERSIONS, st.booleans())))
def test_every_name_means_one_thing(loaded: dict[Version, Loaded], aliases: dict[Alias, Loaded]) -> None:
    names = answers.by_name(loaded, aliases, "churn")
    expected: dict[str, Loaded] = {f"{version.name}@{version.number}": loaded[version] for version in loaded}
    expected |= {f"{alias.name}@{alias.alias}": served for alias, served in aliases.items()}
    for name in NAMES:
        champion = aliases.get(Alias(name, CHAMPION))
        if champion is not None:
            expected[name] = champion
    if "churn" in expected:
        expected[""] = expected["churn"]
    assert names == expected


@given(worlds(), st.sets(VERSIONS))
def test_exactly_what_neither_alias_nor_request_needs_is_let_go(
    world: tuple[Targets, dict[Version, Loaded], dict[Alias, Loaded]], named: set[Version]
) -> None:
    targets, loaded, before = world
    answering = answers.by_alias(targets, loaded, before)
    unneeded = answers.unneeded(loaded, targets, named, answering)
    for version, served in loaded.items():
        is_target = any(target_of(targets, alias) == version for alias in targets)
        answers_now = any(served is one for one in answering.values())
        assert (version in unneeded) == (not is_target and not answers_now and version not in named)


def test_the_same_number_from_other_files_answers_only_while_it_is_held() -> None:
    version, alias = Version("churn", 1), Alias("churn", CHAMPION)
    older, newer = Loaded(version, checked=True), Loaded(version, checked=False)
    targets: Mapping[Alias, Target] = {alias: Target(1, "sha256:new")}
    assert answers.by_alias(targets, {version: newer}, {alias: older}) == {alias: older}
    assert answers.by_alias(targets, {version: Loaded(version, checked=True)}, {alias: older}) != {
        alias: older
    }


def test_what_a_name_means_is_known_without_the_store_where_an_alias_or_a_number_says_it() -> None:
    targets = {Alias("churn", "champion"): Target(2, "x"), Alias("churn", "safe"): Target(1, "y")}
    known = {"churn": 2, "churn@champion": 2, "churn@safe": 1, "churn@7": 7}
    assert {model: answers.meant(model, targets) for model in known} == {
        model: Version("churn", number) for model, number in known.items()
    }
    for model in ("churn@next", "other", "Churn", "churn@0", ""):
        assert answers.meant(model, targets) is None
    assert answers.aliases_of(Version("churn", 2), targets) == ["champion"]
    assert answers.aliases_of(Version("other", 2), targets) == []
