"""What a server that has started says of itself."""

import pytest

from staunch_cli.printing.server_summary import server_summary
from staunch_server.process.transports import Choice
from staunch_server.settings import Settings


def summary(tmp_path, serves=None, embedded=True, has_models=False, **settings) -> str:
    return server_summary(
        Settings(store=tmp_path, **settings),
        9999,
        serves or {},
        carried_by=Choice("aio", "as it is said"),
        longest_stop_s=40.5,
        embedded=embedded,
        has_models=has_models,
    )


def test_it_names_the_models_with_their_aliases_and_both_addresses(tmp_path):
    lines = summary(tmp_path, {"churn@2": "next,new"}, port=7).splitlines()
    assert lines[0] == "Staunch serves churn@2 (next, new)"
    assert lines[2] == "  gRPC      127.0.0.1:7  (reflection on, no TLS)"
    assert lines[3] == "  transport aio, as it is said"
    assert lines[4] == "  metrics   http://127.0.0.1:9999/metrics"


@pytest.mark.parametrize(
    ("has_models", "hint"),
    [(False, "publish one with `staunch train`"), (True, "those of the store cannot answer, see above")],
)
def test_without_a_model_it_says_what_to_do(tmp_path, has_models, hint):
    assert summary(tmp_path, has_models=has_models).startswith(f"Staunch serves no model yet: {hint}\n")


@pytest.mark.parametrize(
    ("embedded", "kind", "end"),
    [(True, "embedded", "Ctrl-C stops server and database."), (False, "yours", "Ctrl-C stops the server.")],
)
def test_it_says_whose_the_database_is_and_what_ctrl_c_stops(tmp_path, embedded, kind, end):
    shown = summary(tmp_path, embedded=embedded)
    assert f"  database  {kind}; " in shown
    assert shown.endswith(end)


def test_what_is_bound_to_all_addresses_is_shown_as_it_can_be_called(tmp_path):
    shown = summary(tmp_path, host="0.0.0.0", metrics_host="::", insecure_bind=True)
    assert "  gRPC      0.0.0.0:50051  (" in shown
    assert "  metrics   http://[::1]:9999/metrics" in shown
    assert shown.count("0.0.0.0") == 1


def test_it_says_how_long_a_stop_takes_at_most(tmp_path):
    assert "  stop      within 40.5 s, calls in progress answered\n" in summary(tmp_path)


def test_it_says_when_reflection_is_off(tmp_path):
    assert "(reflection off, no TLS)" in summary(tmp_path, reflection="off")


def test_each_worker_on_a_socket_of_its_own_is_named_and_the_first_is_called(tmp_path):
    shown = summary(tmp_path, listen="unix:/run/s", workers=2, host="0.0.0.0")
    assert "  gRPC      unix:/run/s.0, unix:/run/s.1  (reflection on, no TLS)" in shown
    assert "predict --server unix:/run/s.0 ID" in shown
    assert "0.0.0.0" not in shown
