"""The pages for callers from other languages are true: a fresh module builds and runs what they show.

They call a real server, with a real world and model; and for an outage, which none has on request, a scripted
one behind the real guard.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.cli.command_process import Command
from tests.client.harness.answers import chunk_of
from tests.client.harness.scripted import ScriptedServer, in_thread
from tests.examples.conftest import ROOT, Walk, blocks_of, reader_environment

from staunch import Client, RowError, Score
from staunch_server.errors import Reason, Refusal

pytestmark = [pytest.mark.walk, pytest.mark.timeout(580)]

BUILD_S = 450
"""How long a first build of gRPC may take where others build too."""

AWAY = Refusal(Reason.DATABASE_UNAVAILABLE, "The database is away.")
EACH_LINE = re.MULTILINE | re.IGNORECASE


@dataclass(frozen=True)
class Language:
    """A language of callers.

    Attributes:
        page: What is shown to them.
        needs: The programs that the page runs.
        asks: Asks the language's registry for a package that the page installs.
        file: The page's program.
        runs: Runs it, with the page's customers.
        last_chunk: How the program writes the last chunk of its batch, and how an empty one.
        invalid: What the language calls INVALID_ARGUMENT.
    """

    page: Path
    needs: tuple[str, ...]
    asks: str
    file: str
    runs: str
    last_chunk: tuple[str, str]
    invalid: str


GO = Language(
    page=ROOT / "docs/go.md",
    needs=("go",),
    asks="cd / && go list -m google.golang.org/grpc@v1.78.0",
    file="main.go",
    runs="go run . 1 6",
    last_chunk=("{there}})", "{}})"),
    invalid="InvalidArgument",
)
NODE = Language(
    page=ROOT / "docs/node.md",
    needs=("node", "npm"),
    asks="npm view @grpc/grpc-js@1.14 name",
    file="main.mjs",
    runs="node main.mjs 1 6",
    last_chunk=("[there]])", "[]])"),
    invalid="INVALID_ARGUMENT",
)


@dataclass(frozen=True)
class Served:
    """A server with a world, and two of its customers: one who is there, and one who has left."""

    address: str
    there: str
    left: str

    def instead(self, text: str) -> str:
        """Returns a page's text about our customers in place of its own."""
        text = re.sub(r"\b1 6$", f"{self.there} {self.left}", text, flags=re.MULTILINE)
        return text.replace('"customer_id": 1,', f'"customer_id": {self.there},')


def served_at(address: str) -> Served:
    """Looks for the customers itself: the summary of a busy machine's server may have no time to."""
    with Client(address) as client:
        rows = list(client.batch_predict(range(1, 200)))
    there = next(row for row in rows if isinstance(row, Score))
    left = next(row for row in rows if isinstance(row, RowError) and row.reason == "CUSTOMER_NOT_ELIGIBLE")
    return Served(address, str(there.customer), str(left.customer))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="staunch-callers-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        state = {"STAUNCH_STATE_FOLDER": f"{folder}/state", "STAUNCH_SIMULATION_CUSTOMERS": "1500"}
        command = Command(Path(folder), ["run"], reader_environment() | state)
        try:
            yield served_at(f"127.0.0.1:{command.port()}")
        finally:
            command.close()


@dataclass(frozen=True)
class Caller:
    """Who has walked through a page of their language."""

    language: Language
    walked: Walk
    served: Served

    def run(self, address: str | None = None) -> str:
        """Runs the page's program, against another server if one is named; returns what it prints."""
        program = self.served.instead(self.language.runs)
        return self.walked.run(f"STAUNCH_SERVER={address or self.served.address} {program}")


@pytest.fixture(scope="module", params=[GO, NODE], ids=["go", "node"])
def caller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """Walks through a page, where its tools and their registry are to be had."""
    language: Language = request.param
    for tool in language.needs:
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    if why := out_of_reach(language.asks):
        pytest.skip(f"the packages are not to be had: {why}")
    served: Served = request.getfixturevalue("served")
    beside = tmp_path_factory.mktemp("caller")
    (beside / "staunch").symlink_to(ROOT)
    (beside / "retention").mkdir()
    environment = reader_environment() | {"STAUNCH_SERVER": served.address}
    walked = Walk(beside / "retention", environment, served.address, patience_s=BUILD_S)
    walked.take([replace(block, text=served.instead(block.text)) for block in blocks_of(language.page)])
    return Caller(language, walked, served)


def out_of_reach(asks: str) -> str:
    """Says why a registry cannot be asked; nothing if it answers."""
    try:
        done = subprocess.run(["sh", "-c", asks], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "no answer within a minute"
    return done.stderr.strip()[-200:] or f"exit code {done.returncode}" if done.returncode else ""


def first_words(text: str) -> list[str]:
    """The first word of each line, and of a chunk's or row's which one."""
    return [
        " ".join(line.split()[:5] if line.startswith("row") else line.split()[:1])
        for line in text.splitlines()
    ]


def test_the_program_prints_what_the_page_shows(caller: Caller) -> None:
    ((command, shown),) = caller.walked.shown.items()
    printed = caller.walked.outputs[command]
    assert first_words(printed) == first_words(shown)
    for reason in ("FEATURE_UNKNOWN", "CUSTOMER_NOT_ELIGIBLE", "CUSTOMER_NOT_FOUND"):
        assert f"reason {reason}" in printed
    assert "has a live subscription" in printed  # why is read beside, and left out where that is late
    assert "field overrides" in printed


def test_an_empty_chunk_is_answered_by_an_error_of_the_chunk(caller: Caller) -> None:
    file = caller.walked.folder / caller.language.file
    text = file.read_text()
    ours, empty = caller.language.last_chunk
    assert text.count(ours) == 1
    file.write_text(text.replace(ours, empty))
    try:
        printed = caller.run()
    finally:
        file.write_text(text)
    assert f"chunk 1 failed {caller.language.invalid}, reason CHUNK_EMPTY: Expected 1 to 10000" in printed
    assert "row 1 of chunk 0 has no score, reason CUSTOMER_NOT_ELIGIBLE" in printed


@pytest.fixture
def away() -> Iterator[ScriptedServer]:
    """A server whose database is away for each chunk, and for as many calls as its script says."""
    with in_thread(ScriptedServer()) as server:
        server.service.on_chunk = lambda _stream, _index, request: chunk_of(AWAY, request)
        yield server


def test_a_short_outage_is_not_seen(caller: Caller, away: ScriptedServer) -> None:
    away.service.script.extend([AWAY] * 2)
    printed = caller.run(away.target)
    assert len(away.service.seen) == 2 + 5
    assert printed.startswith("predicted ")
    assert "\nexplained " in printed
    assert "refused" not in printed


def test_a_long_outage_is_told_with_its_reason_and_the_time_to_wait(
    caller: Caller, away: ScriptedServer
) -> None:
    away.service.script.extend([AWAY] * 50)
    printed = caller.run(away.target)
    # Five tries of the first call; then the budget of retries is spent, and the other four are made once.
    assert len(away.service.seen) == 5 + 4
    wait = r"\n +again after (500ms|0\.5 s)\n"
    refused = rf"^refused unavailable: .*\n +reason DATABASE_UNAVAILABLE.*{wait}"
    assert len(re.findall(refused, printed, EACH_LINE)) == 5
    for place in (0, 1):
        failed = (
            rf"^chunk {place} failed unavailable, reason DATABASE_UNAVAILABLE: The database is away\.{wait}"
        )
        assert re.search(failed, printed, EACH_LINE)


def test_grpcurl_finds_the_methods_by_reflection(caller: Caller) -> None:
    """A client of reflection that is not ours, which asks for v1 first."""
    blocks = [text for text in caller.walked.outputs if "grpcurl" in text]
    if caller.language is not GO:
        assert blocks == []
        return
    (command,) = blocks
    answer = json.loads(caller.walked.outputs[command])
    assert answer["model"]["name"] == "churn"
    program = command.split(" -plaintext")[0]
    listed = caller.walked.run(f"{program} -plaintext 127.0.0.1:50051 list").split()
    assert {"grpc.reflection.v1.ServerReflection", "staunch.v1.ModelService"} <= set(listed)
    for name in listed:
        assert f"{name} is a service" in caller.walked.run(
            f"{program} -plaintext 127.0.0.1:50051 describe {name}"
        )


TRAPS_IN_NODE = """
const [there] = process.argv.slice(2)
const told = async (work) => {
  try {
    return await work()
  } catch (error) {
    return [grpc.status[error.code], error.details, refusal(error)].join(' ')
  }
}
const score = (request) => told(() => call('Predict', { include_features: true, ...request }))
const what_if = (tenure_days) => score({ customer_id: there, overrides: { tenure_days } })
console.log(JSON.stringify({
  number: (await what_if(value(5))).features.tenure_days.numberValue,
  null: (await what_if(value(null))),
  misspelt: await what_if({ number_value: 5 }),
  plain: await what_if(5),
  names: await score({ customerId: there }),
  letters: await score({ customer_id: 'abc' }),
  part: typeof (await score({ customer_id: Number(there) + 0.5 })).probability,
  version: (await score({ customer_id: there })).model.version,
  date: await score({ customer_id: there, as_of_time: new Date() }),
  time: await score({ customer_id: there, as_of_time: time(new Date(Date.now() - 1500)) }),
  late: await told(() => call('Predict', { customer_id: there }, 0)),
}))
client.close()
"""


def fall_into_traps_in_node(caller: Caller) -> None:
    folder, served = caller.walked.folder, caller.served
    program = (folder / "main.mjs").read_text().partition("const [there, left] =")[0]
    (time,) = re.findall(r"`(\{ seconds: Math.*? \})`", " ".join(NODE.page.read_text().split()))
    (folder / "traps.mjs").write_text(f"{program}const time = (date) => ({time})\n{TRAPS_IN_NODE}")
    got = json.loads(caller.walked.run(f"node traps.mjs {served.there}"))
    assert got["number"] == 5
    assert got["null"]["features"]["tenure_days"]["kind"] == "nullValue"
    assert "a Value without a kind" in got["misspelt"]
    assert got["plain"].startswith("INTERNAL Request message serialization failure")
    assert "SUBJECT_MISSING" in got["names"]
    assert "CUSTOMER_ID_INVALID" in got["letters"]
    assert (got["part"], got["version"]) == ("number", 1)
    assert '"known_now":"true"' in got["date"]
    assert got["time"]["as_of_time"]["nanos"] % 1_000_000 == 0
    assert got["late"].startswith("DEADLINE_EXCEEDED")


TRAPS_IN_GO = """
package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	pb "example.com/retention/gen/staunch/v1"
)

func TestTraps(t *testing.T) {
	connection, err := grpc.NewClient(os.Getenv("STAUNCH_SERVER"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client := pb.NewPredictionServiceClient(connection)
	there, _ := strconv.ParseInt(os.Getenv("THERE"), 10, 64)
	request := &pb.PredictRequest{Subject: &pb.PredictRequest_CustomerId{CustomerId: there}}

	late, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	_, err = client.Predict(late, request)
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	request.Overrides = map[string]*structpb.Value{"tenure_days": {}}
	_, err = client.Predict(context.Background(), request)
	if !strings.Contains(refusal(err), "FEATURE_TYPE_MISMATCH") {
		t.Error(err)
	}
	request.Overrides, request.IncludeFeatures = nil, true
	prediction, err := client.Predict(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(prediction)
	var read struct {
		Model    struct{ Version int }
		Features map[string]*float64
	}
	if err != nil || json.Unmarshal(text, &read) != nil {
		t.Error(err, string(text))
	}
	if read.Model.Version != 1 || len(read.Features) < 50 {
		t.Error(read)
	}
	text, _ = protojson.Marshal(&pb.BatchPredictResponse{
		CustomerIds: []int64{7}, Probabilities: []float64{math.NaN()}})
	for _, part := range []string{`["7"]`, `["NaN"]`} {
		if !strings.Contains(string(text), part) {
			t.Error(string(text))
		}
	}
}
"""


def fall_into_traps_in_go(caller: Caller) -> None:
    (caller.walked.folder / "traps_test.go").write_text(TRAPS_IN_GO)
    caller.walked.run(f"THERE={caller.served.there} go test .")


def test_what_the_page_tells_of_mistakes_is_so(caller: Caller) -> None:
    if caller.language is GO:
        fall_into_traps_in_go(caller)
    else:
        fall_into_traps_in_node(caller)
