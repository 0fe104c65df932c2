"""`staunch serve`: serves what the store holds, and makes nothing."""

import signal

import pytest
from tests.harness.databases import execute

from staunch import Client, StaunchError


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
