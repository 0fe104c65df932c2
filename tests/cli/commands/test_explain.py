"""`staunch explain`: a bar for each contribution, or JSON that adds up."""

import json
import sys

import pytest


def test_explain_draws_a_bar_for_each_contribution(staunch):
    lines = staunch("explain", 42, "--set", "income=null").out.splitlines()
    raises = next(line for line in lines if "Open tickets" in line)
    lowers = next(line for line in lines if "Income*" in line)
    assert raises.split("│")[1].strip() == "█" * len(raises.split("│")[1])
    assert raises.index("│") == lowers.index("│")
    assert lowers.split("│")[0].endswith("█")
    assert any("7 others" in line for line in lines)
    assert "\033" not in "".join(lines)


def test_explain_asks_for_the_top_contributions_only(staunch, service):
    staunch("explain", 42)
    staunch("explain", 42, "--top", 0)
    asked = [request for request in service.seen if type(request).__name__ == "ExplainRequest"]
    assert [request.max_contributions for request in asked] == [10, 0]


@pytest.mark.parametrize("count", ["-1", "1.5", "all"])
def test_a_number_of_contributions_that_cannot_be_is_misuse(staunch, service, count):
    result = staunch("explain", 42, "--top", count)
    assert result.code == 2
    assert "argument --top: expected" in result.err
    assert service.seen == []


def test_explain_in_json_adds_up(staunch):
    result = json.loads(staunch("explain", 42, "--json").out)
    total = (
        result["base_value"]
        + sum(part["contribution"] for part in result["contributions"])
        + result["remainder"]
    )
    assert total == pytest.approx(result["output_value"])


def test_explain_speaks_french_to_who_asks_for_it(staunch, service):
    told = staunch("explain", 42, "--language", "fr-CA", "--set", "income=2.5").out
    assert "probabilité    0,2500  risque moyen" in told
    assert "fixé par vous  income = 2,5" in told
    assert "Demandes en cours" in told
    assert "Open tickets" not in told
    assert service.seen[-1].language_code == "fr-CA"


def test_explain_in_json_names_the_language(staunch):
    result = json.loads(staunch("explain", 42, "--json", "--language", "fr").out)
    assert result["language"] == "fr"
    assert [part["title"] for part in result["contributions"]] == ["Demandes en cours", "Revenu"]


def test_explain_draws_a_picture_too(staunch, tmp_path):
    result = staunch("explain", 42, "--plot", tmp_path / "why.svg", "--language", "fr")
    assert result.out.endswith(f"\n\n{tmp_path}/why.svg\n")
    drawn = (tmp_path / "why.svg").read_text()
    assert "Demandes en cours" in drawn
    assert "open_tickets" not in drawn
    assert [file.name for file in tmp_path.iterdir()] == ["why.svg"]


def test_explain_in_json_names_its_picture(staunch, tmp_path):
    result = json.loads(staunch("explain", 42, "--json", "--plot", tmp_path / "why.png").out)
    assert result["files"] == [f"{tmp_path}/why.png"]


@pytest.mark.parametrize(
    ("file", "code", "reason"),
    [
        ("why.gif", 2, "expected a file that ends in .png, .svg or .pdf"),
        ("none/why.png", 1, "make the folder none, or choose another place"),
        ("/proc/why.png", 1, "expected /proc/why.png to be a file that can be written"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_anybody_is_asked(staunch, service, file, code, reason):
    result = staunch("explain", 42, "--plot", file)
    assert (result.code, result.out) == (code, "")
    assert reason in result.err
    assert service.seen == []


def test_a_picture_without_its_extra_is_refused_before_anybody_is_asked(
    staunch, service, monkeypatch, tmp_path
):
    for module in [name for name in sys.modules if name.startswith("staunch_cli.pictures")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = staunch("explain", 42, "--plot", tmp_path / "why.png")
    assert result.code == 1
    assert "matplotlib is not installed: this command needs the extra `train`" in result.err
    assert service.seen == []
    assert list(tmp_path.iterdir()) == []
