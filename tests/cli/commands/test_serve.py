"""`staunch serve`: serves what the store holds, and makes nothing."""

import json
import signal

import pytest
from tests.harness.databases import execute

from staunch import Client, StaunchError


@pytest.mark.walk
def test_on_an_empty_store_and_database_it_serves_no_model_and_makes_nothing(start, database_factory):
    empty = database_factory(template="template1")
    serve = start("serve", STAUNCH_DATABASE_URL=empty.owner_url, STAUNCH_DATABASE_READER_URL=empty.reader_url)
    with Client(f"127.0.0.1:{serve.port()}") as client:
        assert client.list_models() == []
        with pytest.raises(StaunchError, match="MODEL_NOT_READY"):
            client.predict(1)
    assert "Staunch serves no model yet: publish one with `staunch train`" in serve.output
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(30) == 0
    assert serve.output.rstrip().endswith("stopped   nothing is left running")
    execute(empty.owner_url, "CREATE SCHEMA staunch")  # fails if there is one


@pytest.mark.walk
def test_each_worker_has_a_socket_of_its_own_that_it_takes_again_and_that_goes_with_the_server(
    start, database_factory, tmp_path
):
    empty = database_factory(template="template1")
    database = {"STAUNCH_DATABASE_URL": empty.owner_url, "STAUNCH_DATABASE_READER_URL": empty.reader_url}
    listen, folder = f"unix:{tmp_path}/s", tmp_path / "second"
    serve = start("serve", "--listen", listen, "--workers", "2", **database)
    serve.wait_for("Ctrl-C stops")
    serve.wait_for(f"gRPC      {listen}.0, {listen}.1  \\(reflection on, no TLS\\)")
    serve.wait_for("transport native, since this user alone reaches the Unix socket")
    rival = start("serve", "--listen", f"{listen}.1", STAUNCH_STATE_FOLDER=str(folder), **database)
    assert rival.process.wait(30) == 1
    assert f"cannot use {listen}.1: a server is there" in rival.output
    serve.kill_eldest("staunch_server.process.worker")
    for number in range(2):
        with Client(f"{listen}.{number}", timeout_s=30) as client:
            assert client.list_models() == []
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(30) == 0
    assert list(tmp_path.glob("s.*")) == []


@pytest.mark.walk
def test_in_json_a_whole_life_is_one_object_a_line(start, database_factory):
    empty = database_factory(template="template1")
    serve = start(
        "serve",
        STAUNCH_DATABASE_URL=empty.owner_url,
        STAUNCH_DATABASE_READER_URL=empty.reader_url,
        STAUNCH_LOG_FORMAT="json",
        STAUNCH_WORKERS="2",
    )
    serve.wait_for('"staunch.supervisor", "message": "serving no model yet on 127')
    serve.kill_eldest("staunch_server.process.worker")
    serve.wait_for("was killed by SIGKILL")
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(30) == 0
    lines = [json.loads(line) for line in serve.output.splitlines()]
    assert {"staunch.output", "staunch.worker", "staunch.supervisor"} <= {line["logger"] for line in lines}
    (killed,) = [line for line in lines if "SIGKILL" in line["message"]]
    assert killed["level"] == "WARNING"
    assert lines[-1]["message"] == "stopped nothing is left running"


@pytest.mark.walk
def test_in_json_what_ends_the_start_is_one_object_too(start):
    for more in ({"STAUNCH_PORT": "none"}, {"STAUNCH_STORE": "/none"}, {"STAUNCH_PROT": "1"}):
        serve = start("serve", STAUNCH_LOG_FORMAT="json", **more)
        assert serve.process.wait(30) == 1
        (line,) = [json.loads(line) for line in serve.output.splitlines()]
        assert (line["level"], line["logger"]) == ("ERROR", "staunch")
