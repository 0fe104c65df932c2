"""`staunch score`: complete files or none."""

import asyncio
import csv
import io
import re
import subprocess

import pyarrow.parquet
import pytest
from tests.cli.documented import PAGE, documented
from tests.client.harness import answers
from tests.client.harness.answers import failed_chunk, scored
from tests.harness.databases import execute
from tests.server.small_models import small_files, small_manifest, small_trees

from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.postgres.connection import connect
from staunch_features.views.file import load_view, parse_view
from staunch_model_store.store import ModelStore
from staunch_server.errors import Reason, Refusal
from staunch_sql import FEATURES_FOLDER


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "scores.csv"


@pytest.fixture
def ids(tmp_path):
    def write(*lines):
        path = tmp_path / "ids.txt"
        path.write_text("\n".join(str(line) for line in lines) + "\n")
        return path

    return write


def test_listed_ids_are_scored_with_model_and_moment(staunch, ids, out):
    result = staunch("score", "--out", out, "--ids", ids(*range(1, 7)))
    assert result.code == 0
    assert "6 customers scored by churn@3 as of 2023-11-14T22:13:20.123456Z" in result.out
    assert rows_of(out)[4] == {
        "customer": "5",
        "probability": "0.005",
        "risk_band": "low",
        "model": "churn@3",
        "as_of": "2023-11-14T22:13:20.123456Z",
        "has_warnings": "false",
    }


def test_scores_can_be_printed_for_a_pipe_and_what_is_said_of_them_goes_elsewhere(staunch, ids):
    result = staunch("score", "--out", "-", "--ids", ids(1, 7, "x"))
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["customer"] for row in rows] == ["1"]
    assert "standard output: 1 customers scored by churn@3" in result.err
    assert "not written: 2 have no score (" in result.err
    said = staunch("score", "--out", "-", "--json", "--ids", ids(1)).err.splitlines()[-1]
    assert documented("score", f"{said}\n")["out"] == "-"


def test_what_became_of_the_customers_is_said_for_programs(staunch, ids, out):
    said = documented("score", staunch("score", "--out", out, "--json", "--ids", ids(1, 7, "x")).out)
    assert (said["scored"], said["not_eligible"], said["model"]) == (1, 0, "churn@3")
    assert sum(said["failed"].values()) == 2
    assert said["errors_out"] == str(out.with_suffix(".errors.csv"))


def test_rows_without_a_score_stand_in_a_second_file(staunch, ids, out, tmp_path):
    result = staunch("score", "--out", out, "--ids", ids(1, 7, "x", "", 10**30, -1))
    assert [row["customer"] for row in rows_of(out)] == ["1"]
    failed = {row["customer"]: row["reason"] for row in rows_of(tmp_path / "scores.errors.csv")}
    assert failed == {
        "7": "CUSTOMER_NOT_FOUND",
        "x": "CUSTOMER_ID_INVALID",
        str(10**30): "CUSTOMER_ID_INVALID",
        "-1": "CUSTOMER_ID_INVALID",
    }
    assert "4 have no score (3 CUSTOMER_ID_INVALID, 1 CUSTOMER_NOT_FOUND)" in result.out


def test_every_row_without_a_score_says_why_in_words(staunch, service, ids, out, tmp_path):
    """The server's own words where it has some, else what its reason means."""
    worded = pb.BatchPredictRowError(
        index=1, code=9, reason="MODEL_REFUSED", message="feature a is null; mend it"
    )
    newer = pb.BatchPredictRowError(index=2, code=9, reason="OF_A_NEWER_SERVER")

    def answer(_stream, _index, request):
        made = scored(request)
        made.row_errors.extend([worded, newer])
        return made

    service.on_chunk = answer
    staunch("score", "--out", out, "--ids", ids(7, 1, 2, "x"))
    assert {row["customer"]: row["message"] for row in rows_of(tmp_path / "scores.errors.csv")} == {
        "7": "The view returns no row for the id.",
        "1": "feature a is null; mend it",
        "2": "",
        "x": "expected a whole number",
    }


def test_who_is_not_eligible_is_said_what_is_asked_for_in_the_words_of_the_view(
    staunch, service, ids, out, tmp_path
):
    def answer(_stream, _index, request):
        made = scored(request)
        made.row_errors.append(pb.BatchPredictRowError(index=0, code=9, reason="CUSTOMER_NOT_ELIGIBLE"))
        return made

    service.on_chunk = answer
    staunch("score", "--out", out, "--ids", ids(1, 2))
    (row,) = rows_of(tmp_path / "scores.errors.csv")
    assert (row["customer"], row["message"]) == ("1", "Expected a customer who has a live subscription.")


def test_a_chunk_that_fails_as_a_whole_is_exit_code_1_and_loses_nobody(staunch, service, ids, out, tmp_path):
    service.on_chunk = lambda _stream, index, request: (
        failed_chunk(request, 13, "INTERNAL") if index == 1 else None
    )
    result = staunch("score", "--out", out, "--ids", ids(*range(1, 30)), "--chunk-rows", 10)
    assert result.code == 1
    scored, failed = rows_of(out), rows_of(tmp_path / "scores.errors.csv")
    assert [int(row["customer"]) for row in scored] == [i for i in (*range(1, 11), *range(21, 30)) if i % 7]
    assert [int(row["customer"]) for row in failed] == [7, *range(11, 21), 21, 28]
    assert {(row["code"], row["reason"], row["message"]) for row in failed[1:11]} == {
        ("INTERNAL", "INTERNAL", "as told")
    }
    assert "16 customers scored" in result.out
    assert "13 have no score (10 INTERNAL, 3 CUSTOMER_NOT_FOUND)" in result.out
    assert (
        "staunch: INTERNAL: 10 of 29 customers have no score, since a chunk of the batch failed" in result.err
    )
    # What has no score can be asked again as the command says.
    service.on_chunk = lambda *_: None
    again = staunch("score", "--out", tmp_path / "again.csv", "--ids", tmp_path / "scores.errors.csv")
    assert f"--ids {tmp_path / 'scores.errors.csv'} and another --out" in result.err
    assert (again.code, len(rows_of(tmp_path / "again.csv"))) == (0, 9)  # of eleven to twenty, 14 is unknown


@pytest.mark.parametrize(
    ("source", "last"), [("file", "scoring 100%"), ("-", "scoring 5")], ids=["of a file", "of standard input"]
)
def test_on_a_terminal_what_is_done_moves(staunch, ids, out, monkeypatch, source, last):
    """Lines of no id are done too. Of standard input nobody knows how much there is."""
    words = ("score", "--out", out, "--chunk-rows", 2, "--ids")
    lines = ids(1, 2, 3, 7, "x")
    monkeypatch.setattr("sys.stdin", lines.open())
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert staunch(*words, lines if source == "file" else source).code == 0
    shown = [line.strip() for line in terminal.getvalue().split("\r")]
    assert shown[-1] == last
    assert len(shown) == 5  # nothing before the first, then 0, 2, 4 and 5 customers


def test_where_no_line_moves_a_short_run_says_that_it_scores_and_no_more(staunch, ids, out):
    assert staunch("score", "--out", out, "--ids", ids(*range(1, 7))).err.split() == ["scoring"]


def test_not_one_score_is_exit_code_1(staunch, ids, out):
    assert staunch("score", "--out", out, "--ids", ids(7, 14)).code == 1


def test_where_nobody_was_to_be_scored_is_exit_code_0(staunch, ids, out):
    assert staunch("score", "--out", out, "--ids", ids("")).code == 0
    assert rows_of(out) == []


def test_ids_of_64_bits_reach_the_server_and_greater_ones_are_errors(staunch, service, ids, out, tmp_path):
    borders = [1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1]
    staunch("score", "--out", out, "--ids", ids(*borders))
    assert list(service.streams[0][0].customer_ids) == [
        *borders[:3],
        0,
        0,
    ]  # a place is kept for what is no id
    failed = {int(row["customer"]): row["reason"] for row in rows_of(tmp_path / "scores.errors.csv")}
    assert failed[2**63] == failed[-(2**63) - 1] == "CUSTOMER_ID_INVALID"


def test_the_reasons_of_a_score_stand_beside_it_as_a_person_says_them(staunch, service, ids, out):
    assert staunch("score", "--out", out, "--ids", ids(1, 7, 2), "--reasons", 3).code == 0
    first, second = rows_of(out)
    assert list(first)[6:9] == ["reason_1", "reason_1_value", "reason_1_contribution"]
    assert list(first)[-3:] == ["base_value", "output_value", "remainder"]
    told = {name: first[name] for name in list(first)[6:15]}
    assert told == {
        "reason_1": "Open tickets",
        "reason_1_value": "3",
        "reason_1_contribution": "1.2",
        "reason_2": "Income",
        "reason_2_value": "missing",
        "reason_2_contribution": "-0.4",
        "reason_3": "",  # the scripted model has two
        "reason_3_value": "",
        "reason_3_contribution": "",
    }
    for row in (first, second):
        total = float(row["base_value"]) + 1.2 - 0.4 + float(row["remainder"])
        assert total == pytest.approx(float(row["output_value"]), abs=1e-9)
    assert service.streams[0][0].top_contributions == 3


def test_the_page_cuts_the_columns_that_it_shows_out_of_the_list(staunch, ids, out):
    staunch("score", "--out", out, "--ids", ids(1), "--reasons", 3)
    fields, shown = re.search(r"cut -d, -f(\S+)\n(\S+)\n", PAGE).groups()
    cut = subprocess.run(["cut", "-d,", f"-f{fields}", out], capture_output=True, text=True, check=True)
    assert cut.stdout.splitlines()[0] == shown


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_reasons_are_in_the_language_asked_for(staunch, ids, tmp_path, ending):
    out = tmp_path / f"scores.{ending}"
    staunch("score", "--out", out, "--ids", ids(1), "--reasons", 2, "--language", "fr-CA")
    text = str(pyarrow.parquet.read_table(out).to_pylist()) if ending == "parquet" else out.read_text()
    assert "Demandes en cours" in text
    assert ("manquant" in text) == (ending == "csv")  # for programs it is null


@pytest.mark.parametrize("reasons", ["-1", "11", "x", "1.5", "", "03", "9" * 5000])
def test_a_number_of_reasons_that_there_cannot_be_is_refused_in_words(staunch, ids, out, reasons):
    result = staunch("score", "--out", out, "--ids", ids(1), f"--reasons={reasons}")
    assert result.code == 2
    assert f"expected 0 to 10 reasons, got '{reasons}'" in result.err
    assert not out.exists()


def test_a_language_without_reasons_has_nothing_to_say(staunch, ids, out):
    result = staunch("score", "--out", out, "--ids", ids(1), "--language", "fr")
    assert (result.code, "expected --reasons with --language" in result.err) == (1, True)
    assert not out.exists()


def test_a_model_that_cannot_explain_says_so_and_leaves_no_file(staunch, service, ids, out):
    def refuse(*_):
        raise Refusal(Reason.EXPLAINER_MISSING, "Expected a version with an explainer, got churn@3.")

    service.on_chunk = refuse
    result = staunch("score", "--out", out, "--ids", ids(1), "--reasons", 1)
    assert (result.code, "EXPLAINER_MISSING: Expected a version with" in result.err) == (1, True)
    assert not out.exists()


def test_without_reasons_nothing_is_asked_for_and_no_column_is_added(staunch, service, ids, out):
    staunch("score", "--out", out, "--ids", ids(1))
    assert list(rows_of(out)[0]) == ["customer", "probability", "risk_band", "model", "as_of", "has_warnings"]
    assert service.streams[0][0].top_contributions == 0


@pytest.mark.parametrize(("rows", "code"), [("0", 2), ("1", 0), ("10000", 0), ("10001", 2), ("many", 2)])
def test_a_message_has_1_to_10000_ids(staunch, ids, out, rows, code):
    assert staunch("score", "--out", out, "--ids", ids(1, 2), "--chunk-rows", rows).code == code


def test_the_errors_of_an_earlier_run_do_not_stay(staunch, ids, out, tmp_path):
    staunch("score", "--out", out, "--ids", ids(1, 7))
    staunch("score", "--out", out, "--ids", ids(1, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.txt", "scores.csv"]


def test_a_run_that_fails_leaves_the_old_file_and_no_other(staunch, service, ids, out, tmp_path):
    out.write_text("old")

    def gone(_stream, index, _request):
        if index:
            raise Refusal(Reason.MODEL_REFUSED, "gone")

    service.on_chunk = gone
    result = staunch("score", "--out", out, "--ids", ids(*range(1, 30)), "--chunk-rows", 10)
    assert result.code == 1
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.txt", "scores.csv"]


def test_parquet_holds_the_same_in_its_own_types(staunch, ids, tmp_path):
    staunch("score", "--out", tmp_path / "scores.parquet", "--ids", ids(1, 2, 7))
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet")
    assert table.column("customer").to_pylist() == [1, 2]
    assert table.column("probability").to_pylist() == [0.001, 0.002]
    assert str(table.schema.field("as_of").type) == "timestamp[us, tz=UTC]"
    assert len(rows_of(tmp_path / "scores.errors.csv")) == 1


def test_parquet_without_a_single_row_can_be_read(staunch, ids, tmp_path):
    staunch("score", "--out", tmp_path / "scores.parquet", "--ids", ids(7))
    assert pyarrow.parquet.read_table(tmp_path / "scores.parquet").num_rows == 0


def test_ids_may_come_from_standard_input(staunch, out, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n"))
    staunch("score", "--out", out, "--ids", "-")
    assert len(rows_of(out)) == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--out", "scores.xlsx"], 2, "ends in .csv, .jsonl or .parquet"),
        (["--out", "scores.csv", "--chunk-rows", "0"], 2, "expected 1 to 10000"),
        (
            ["--out", "/nowhere/scores.csv", "--ids", "{ids}"],
            1,
            "staunch: expected /nowhere/scores.csv to be a file that can be written, got "
            '"No such file or directory": make the folder /nowhere, or choose another place\n',
        ),
        (["--out", "/nowhere/scores.parquet", "--ids", "{ids}"], 1, "make the folder /nowhere"),
        (["--out", "{tmp}/folder.csv", "--ids", "{ids}"], 1, "{tmp}/folder.csv to be a file"),
        (
            ["--out", "{tmp}/scores.csv", "--ids", "/nowhere.txt"],
            1,
            "staunch: expected /nowhere.txt to be a file that can be read, got "
            '"No such file or directory": name another\n',
        ),
        (["--out", "{tmp}/scores.csv", "--ids", "{tmp}/latin.txt"], 1, "latin.txt to be text in UTF-8"),
    ],
)
def test_files_that_cannot_be_are_refused(staunch, ids, tmp_path, words, code, says):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "latin.txt").write_bytes(b"1\n\xe9\n")
    names = {"ids": ids(1), "tmp": tmp_path}
    result = staunch("score", *[word.format(**names) for word in words])
    assert result.code == code
    assert says.format(**names) in result.err
    assert ".part" not in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "ids.txt", "latin.txt"]


async def _insert_customers(url: str, count: int) -> None:
    connection = await connect(url)
    await connection.execute(INSERT, count)
    await connection.close()


INSERT = """
INSERT INTO staunch.customers
    (customer_id, given_name, family_name, email, birth_date, gender, language, joined_at)
SELECT i, 'A', 'B', i || '@example.org', date '1980-01-01', 'female', 'en', timestamptz '2020-01-01'
FROM generate_series(1, $1::int) AS i
"""


SHIPPED = load_view("churn", [FEATURES_FOLDER])


def test_without_ids_the_whole_population_is_scored_and_who_is_outside_is_counted(
    staunch, service, database, out, tmp_path
):
    service.view_digest = f"sha256:{SHIPPED.sha256}"
    asyncio.run(_insert_customers(database.owner_url, 30))
    result = staunch("score", "--out", out, "--database-reader-url", database.reader_url)
    assert result.code == 0, result.err
    assert [int(row["customer"]) for row in rows_of(out)] == [i for i in range(1, 31) if i % 7]
    assert "4 candidates were not eligible then" in result.out
    assert not (tmp_path / "scores.errors.csv").exists()


@pytest.mark.parametrize(
    ("words", "manifest", "summary"),
    [
        ([], b"{}", "none of 3 candidates was eligible as of now: if your rows end in the past, give"),
        (
            ["--as-of", "2020-01-01"],
            b"{}",
            "none of 3 candidates was eligible as of 2020-01-01T00:00:00Z: if",
        ),
        ([], b'{"uses_as_of": false}', "none of 3 candidates is eligible: see what _eligible of the view"),
    ],
)
def test_a_population_of_which_nobody_is_scored_says_why_and_is_exit_code_1(
    staunch, service, database, out, words, manifest, summary
):
    def nobody(_stream, _index, request):
        made = scored(request)
        for index in range(len(request.customer_ids)):
            made.row_errors.add(index=index, code=9, reason="CUSTOMER_NOT_ELIGIBLE")
        return made

    service.view_digest, service.manifest, service.on_chunk = f"sha256:{SHIPPED.sha256}", manifest, nobody
    asyncio.run(_insert_customers(database.owner_url, 3))
    result = staunch("score", "--out", out, "--database-reader-url", database.reader_url, *words)
    assert result.code == 1
    assert f"{out}: 0 customers scored\n{summary}" in result.out
    assert ("--as-of" in result.out) == (manifest == b"{}")


def test_a_population_that_row_level_security_hides_is_not_called_empty(staunch, service, database, out):
    service.view_digest = f"sha256:{SHIPPED.sha256}"
    asyncio.run(_insert_customers(database.owner_url, 30))
    execute(database.owner_url, "ALTER TABLE staunch.customers ENABLE ROW LEVEL SECURITY")
    result = staunch("score", "--out", out, "--database-reader-url", database.reader_url)
    assert result.code == 1
    assert "expected to see rows of staunch.customers, got none: its row-level security applies" in result.err
    execute(database.owner_url, "CREATE POLICY p ON staunch.customers USING (customer_id < 4)")
    result = staunch("score", "--out", out, "--database-reader-url", database.reader_url)
    assert result.code == 0, result.err
    assert "row-level security of staunch.customers applies to the role staunch_reader" in result.err
    assert [int(row["customer"]) for row in rows_of(out)] == [1, 2, 3]


def test_the_population_is_that_of_the_served_version_and_not_of_the_file_as_it_stands(
    staunch, service, database, out, tmp_path
):
    """The file may have been edited since; the version carries the text it was trained with."""
    text = SHIPPED.text.replace(
        SHIPPED.population, "SELECT customer_id FROM staunch.customers WHERE customer_id < 4"
    )
    service.view_digest = f"sha256:{parse_view('churn', text, 'churn.sql').sha256}"
    asyncio.run(_insert_customers(database.owner_url, 30))
    store, files = ModelStore(tmp_path / "models"), small_files(small_trees(0.0), text)
    for _ in range(service.version):
        store.publish(
            "churn",
            lambda version: (
                small_manifest("churn", version, "int64", uses_as_of=True, base_value=0.0),
                files,
            ),
        )
    result = staunch(
        "score", "--out", out, "--database-reader-url", database.reader_url, "--store", tmp_path / "models"
    )
    assert result.code == 0, result.err
    assert [int(row["customer"]) for row in rows_of(out)] == [1, 2, 3]


def test_a_version_whose_text_is_not_here_is_not_scored_by_another(staunch, service, database, out, tmp_path):
    service.view_digest = "sha256:" + "0" * 64
    result = staunch(
        "score", "--out", out, "--database-reader-url", database.reader_url, "--store", tmp_path / "models"
    )
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "the text that churn@3 was trained with is not here" in result.err
    assert "--store" in result.err
    assert "--ids" in result.err
    assert not out.exists()


def test_its_own_files_may_be_asked_again_and_a_view_names_its_column(staunch, service, ids, out, tmp_path):
    service.manifest = b'{"id_column": "member_id"}'
    staunch("score", "--out", out, "--ids", ids("member_id", 1, 2, 7))
    again = tmp_path / "again.csv"
    for file in (out, tmp_path / "scores.errors.csv"):
        assert staunch("score", "--out", again, "--ids", file).code == int(file != out)
        assert rows_of(file)[0]["customer"] in {"1", "7"}
    assert staunch("score", "--out", again, "--ids", out, "--ids-column", "model").code == 1


@pytest.fixture
def keyed(service, monkeypatch):
    """A model whose ids are keys; it has a score for each but one of seven letters, as `scored` says."""
    made = service.model

    def model_of_keys(version):
        described = made(version)
        described.id_type = models_pb.ID_TYPE_TEXT
        return described

    monkeypatch.setattr(service, "model", model_of_keys)
    in_full = answers.model_in_full

    def in_full_of_keys(*words, **named):
        described = in_full(*words, **named)
        described.id_type = models_pb.ID_TYPE_TEXT
        return described

    monkeypatch.setattr(answers, "model_in_full", in_full_of_keys)


def test_files_for_spreadsheets_hold_no_formula_and_may_be_asked_again(
    staunch, service, keyed, ids, out, tmp_path
):
    keys = ["=1+1", "=lookup", "@x", "-5", "né", "a;=1"]
    staunch("score", "--out", out, "--excel-safe", "--ids", ids(*keys))
    written = out.read_text() + (tmp_path / "scores.errors.csv").read_text()
    assert '"\'=1+1"' in written
    assert '\n"a;=1"' in written
    for file in (out, tmp_path / "scores.errors.csv"):
        staunch("score", "--out", tmp_path / "again.csv", "--ids", file)
    first, *again = [
        [key for request in stream for key in request.customer_keys] for stream in service.streams
    ]
    assert sorted(key for stream in again for key in stream) == sorted(first) == sorted(keys)


def test_parquet_is_not_for_spreadsheets(staunch, ids, tmp_path):
    result = staunch("score", "--out", tmp_path / "s.parquet", "--excel-safe", "--ids", ids(1))
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "expected a .csv with --excel-safe" in result.err


def test_of_keys_a_word_that_is_no_customer_may_be_a_header_and_the_user_is_told_how_to_say_so(
    staunch, keyed, ids, out
):
    result = staunch("score", "--out", out, "--ids", ids("Kundeno", "abc"))
    assert (
        "first line of the ids, 'Kundeno', is no customer: if it is a header, name the column" in result.out
    )
