"""`staunch models`: lists, shows, moves, reloads."""

import pytest

from staunch.v1 import model_service_pb2 as models_pb
from staunch_server.errors import Reason, Refusal


def test_alone_it_lists_every_version(staunch):
    result = staunch("models")
    assert [line.split()[:2] for line in result.out.splitlines()[1:]] == [
        ["churn@3", "ready"],
        ["churn@2", "ready"],
        ["churn@1", "ready"],
    ]
    assert result.out == staunch("models", "list").out


def test_list_takes_a_name(staunch, service):
    staunch("models", "list", "churn")
    assert service.seen[0].name == "churn"


def test_show_tells_what_it_is_how_good_and_what_it_looks_at(staunch):
    result = staunch("models", "show", "churn@3")
    for line in ("churn@3", "champion", "90 days", "auc", "0.8200 to 0.8600", "Age in whole years."):
        assert line in result.out


@pytest.mark.parametrize("flags", [[], ["--json"], ["--timeout", 3], ["--timeout=3", "--json"]])
def test_a_version_alone_is_shown_wherever_the_flags_stand(staunch, flags):
    shown = staunch("models", *flags, "show", "churn@3")
    assert shown.code == 0
    assert staunch("models", *flags, "churn@3") == shown
    assert staunch("models", "churn@champion", *flags).code == 0


def test_a_word_that_is_no_action_and_no_version_is_refused_with_what_there_is(staunch):
    result = staunch("models", "churn")
    assert result.code == 2
    assert result.err.startswith("usage: staunch models ")
    assert "NAME@VERSION | ACTION" in result.err
    assert "invalid choice: 'churn' (choose from" in result.err


def test_behind_an_action_a_version_is_a_word_of_the_actions(staunch):
    result = staunch("models", "list", "churn@3", "churn@2")
    assert (result.code, "unrecognized arguments: churn@2" in result.err) == (2, True)


def test_alias_moves_and_tells_where_it_pointed(staunch, service):
    result = staunch("models", "alias", "churn", "champion", 3, "--expect", 2)
    assert result.out == "churn@champion points at churn@3, before at version 2\n"
    assert service.seen[0].expected_version == 2


def test_an_alias_that_points_there_already_is_said_to(staunch):
    result = staunch("models", "alias", "churn", "champion", 2)
    assert result.out == "churn@champion points at churn@2, as before\n"


@pytest.mark.parametrize("version", ["0", "-1", "x", "1.5", "2147483648", "9" * 5000])
@pytest.mark.parametrize(
    "words",
    [
        ["alias", "churn", "next", "{}"],
        ["alias", "churn", "next", "1", "--expect={}"],
        ["delete-alias", "churn", "next", "--expect={}"],
    ],
)
def test_what_is_no_version_is_refused_before_a_server_is_asked(staunch, service, words, version):
    result = staunch("models", *(word.format(version) for word in words))
    if (words[0], version) == ("alias", "0") and "--expect={}" in words:
        assert service.seen[0].expected_version == 0  # none
        return
    assert (result.code, service.seen) == (2, [])
    assert "expected the number of a version" in result.err or "required" in result.err
    assert len(result.err) < 1000


def test_an_alias_that_moved_meanwhile_fails(staunch, service):
    service.script.append(Refusal(Reason.ALIAS_MOVED, "as told"))
    result = staunch("models", "alias", "churn", "champion", 3, "--expect", 1)
    assert (result.code, result.err) == (1, "staunch: ALIAS_MOVED: as told\n")


def test_a_deleted_alias_tells_where_it_pointed_or_that_there_was_none(staunch, service):
    result = staunch("models", "delete-alias", "churn", "next", "--expect", 2)
    assert (result.code, result.out) == (0, "churn@next is deleted; it pointed at version 2\n")
    assert service.seen[0].expected_version == 2

    async def gone(_request: object, _call: object) -> models_pb.DeleteAliasResponse:
        return models_pb.DeleteAliasResponse()

    service.script.append(gone)
    result = staunch("models", "delete-alias", "churn", "next")
    assert (result.code, result.out) == (0, "there is no churn@next, so nothing was deleted\n")


def test_reload_tells_what_changed(staunch):
    assert "churn@3" in staunch("models", "reload").out
