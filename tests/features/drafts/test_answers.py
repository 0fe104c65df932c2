"""Which column is the answer, and what is refused as one."""

import pytest
from tests.features.drafts.conftest import Shop

from staunch_features.errors import DraftError


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("n % 4 = 0", "churn is true"),
        ("(n % 4 = 0)::int", "churn is 1"),
        ("(n % 4 = 0)::int::numeric(3, 1)", "churn is 1.0"),
        ("(ARRAY['No', 'No', 'No', 'Yes'])[1 + (n + 3) % 4]", "churn is Yes"),
        ("(ARRAY['n', NULL, 'N', 'Y'])[1 + (n + 3) % 4]", "churn is Y"),
        ("(ARRAY['non', '', 'non', 'oui'])[1 + (n + 3) % 4]::char(3)", "churn is oui"),
        ("(ARRAY['no', 'no', 'no', 'yes'])[1 + (n + 3) % 4]::shop.says", "churn is yes"),
        ("CASE WHEN n % 4 = 0 THEN true WHEN n % 4 < 3 THEN false END", "churn is true"),
    ],
)
async def test_yes_and_no_in_every_form_is_an_answer(shop: Shop, answer: str, words: str) -> None:
    await shop.make("CREATE TYPE shop.says AS ENUM ('yes', 'no')")
    await shop.make(
        f"CREATE TABLE shop.things AS SELECT n AS id, n % 9 AS size, {answer} AS churn "
        "FROM generate_series(1, 200) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (id)"
    )
    drafted = await shop.checked()
    label = (await shop.check(drafted)).label
    assert label is not None
    assert (drafted.draft.answer.words, label.true) == (words, 50)
    assert (label.known, label.true) == (drafted.known, drafted.true)


async def test_a_value_can_be_named_as_the_answer(shop: Shop) -> None:
    await shop.table("(ARRAY['open', 'gone, really', 'old'])[1 + n % 3] AS \"Sta=te\"")
    drafted = await shop.checked(label="Sta=te=gone, really")
    label = (await shop.check(drafted)).label
    assert label is not None
    assert (label.known, label.true) == (200, 67)
    assert drafted.draft.answer.words == "Sta=te is 'gone, really'"


async def test_a_moment_is_an_answer_without_dates_too(shop: Shop) -> None:
    await shop.table("CASE WHEN n % 4 > 0 THEN date '2024-01-01' END AS left_on, n % 7 AS size")
    drafted = await shop.checked(label="left_on")
    assert (drafted.draft.answer.words, drafted.true) == ("there is a left_on", 150)


async def test_the_one_column_of_yes_and_no_is_the_answer_whatever_its_name(shop: Shop) -> None:
    await shop.make(
        "CREATE TABLE shop.things AS SELECT n AS id, n % 9 AS size, n % 2 AS caravan "
        "FROM generate_series(1, 200) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (id)"
    )
    answer = (await shop.checked()).draft.answer
    assert (answer.column.name, answer.why) == ("caravan", "guessed, see --label")


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({}, "cannot tell which column is the answer: name it, --label COLUMN; .* are vip, old"),
        (
            {"label": "size"},
            "--label size: expected yes and no, .* got 0, 1, 2, 3, 4, 5, 6, 7 and 1 more: say which",
        ),
        ({"label": "state"}, "--label state: .* got gone, here: .* for example --label state=gone"),
        ({"label": "state=away"}, "--label state=away: expected a value of state, .* there are gone, here"),
        ({"label": "same"}, "--label same: expected two values, got only x"),
        ({"label": "blank"}, "--label blank: expected two values, got no value at all"),
        ({"label": "nowhere"}, "--label nowhere: expected a column of the table, found none"),
        ({"label": "joined"}, "--label joined: expected a moment that is null where it has not happened"),
        (
            {"time": "joined"},
            "cannot tell which column is the moment .* --label COLUMN; there are ended_at, closed_at",
        ),
        (
            {"time": "joined", "label": "vip"},
            r"--label vip says whether, not when: .* \(ended_at, closed_at\)",
        ),
        ({"time": "joined", "label": "joined"}, "expected another column than --time names"),
    ],
)
async def test_what_cannot_be_told_is_asked_for(shop: Shop, wishes: dict[str, str], error: str) -> None:
    await shop.make(
        "CREATE TABLE shop.things AS SELECT n AS id, n % 2 = 0 AS vip, n % 3 = 0 AS old, n % 9 AS size, "
        "(ARRAY['here', 'gone'])[1 + n % 2] AS state, 'x' AS same, ' ' AS blank, "
        "date '2024-01-01' AS joined, NULL::date AS ended_at, NULL::timestamptz AS closed_at "
        "FROM generate_series(1, 200) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (id)"
    )
    with pytest.raises(DraftError, match=error):
        await shop.draft(**wishes)


async def test_a_named_answer_with_words_of_its_own_is_proposed_as_the_shell_takes_it(shop: Shop) -> None:
    await shop.make(
        "CREATE TABLE shop.things AS SELECT n AS id, n % 9 AS size, "
        "(ARRAY['Existing Customer', 'Attrited Customer'])[1 + n % 2] AS \"Attrition_Flag\" "
        "FROM generate_series(1, 200) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (id)"
    )
    with pytest.raises(DraftError, match="perhaps --label 'Attrition_Flag=Attrited Customer'"):
        await shop.draft()


async def test_an_answer_of_one_kind_alone_is_refused(shop: Shop) -> None:
    await shop.table("n AS size, NULL::date AS left_on")
    with pytest.raises(DraftError, match="there is a left_on: expected rows of both kinds, got 0 of 200"):
        await shop.draft(label="left_on")
