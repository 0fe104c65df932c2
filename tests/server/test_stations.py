"""The way of a prediction is what the drawing says: the files of a real call, in their order."""

import re
import sys
from pathlib import Path
from types import FrameType

import pytest
from tests.server.harness.running import Publish, Serve

import staunch_features
import staunch_server
from staunch.v1 import prediction_service_pb2 as pb

README = (Path(__file__).parents[2] / "README.md").read_text()
SERVER = Path(staunch_server.__file__).parent
ROOMS = {"views": Path(staunch_features.__file__).parent}


def drawing() -> str:
    """The drawing as the package has it, without its indent."""
    drawn = (staunch_server.__doc__ or "").split("::\n\n")[1].split("\n\nWho makes")[0]
    return "\n".join(line.removeprefix("    ") for line in drawn.splitlines())


def stations() -> list[Path]:
    """The files of the drawing from top to bottom."""
    names = re.findall(r"^(\w+)/(\w+\.py)", drawing(), re.MULTILINE)
    return [ROOMS.get(room, SERVER) / room / file for room, file in names]


def test_the_readme_draws_what_the_package_draws() -> None:
    assert drawing().strip() in README


def test_every_station_is_a_file() -> None:
    assert len(stations()) == 11
    assert [file for file in stations() if not file.is_file()] == []


@pytest.mark.parametrize("transport_name", ["aio"])
async def test_a_real_call_passes_the_stations_in_their_order(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    running = await serve(transport=transport_name)
    request = pb.PredictRequest(customer_id=3)
    await running.prediction.Predict(request)  # Prepares the statement.
    entered: dict[Path, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.setdefault(Path(frame.f_code.co_filename), None)

    sys.setprofile(note)
    try:
        await running.prediction.Predict(request)
    finally:
        sys.setprofile(None)
    drawn = set(stations())
    assert [file for file in entered if file in drawn] == stations()
