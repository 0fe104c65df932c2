"""The calls that a server shows are those of the version that answers them."""

import json
import shlex

import pytest
from tests.server.small_models import small_files, small_manifest, small_trees, view_text

from staunch_cli.printing.how_to_call import call_address, how_to_call
from staunch_cli.shared.example_customers import ExampleCustomers
from staunch_model_store.store import ModelStore
from staunch_server.settings import Settings


def test_they_ask_by_the_kind_of_key_that_the_champion_takes(tmp_path):
    store, trees = ModelStore(tmp_path), small_trees(0.0)
    for id_type in ("int64", "text"):

        def build(version, id_type=id_type):
            manifest = small_manifest(
                "churn", version, id_type, uses_as_of=True, base_value=trees.base_value()
            )
            return manifest, small_files(trees, view_text(id_type))

        store.publish("churn", build)
    settings = Settings(store=tmp_path)
    assert how_to_call(settings, {"churn@1": "champion", "churn@2": "next"})[0].endswith("predict ID")
    assert how_to_call(settings, {"churn@1": "next", "churn@2": "champion,new"})[0].endswith("predict KEY")
    assert how_to_call(settings, {"churn@2": "next"})[0].endswith("predict ID")


@pytest.mark.parametrize(
    ("customer", "literal"), [(7, "7"), ("7590-VHVEG", '"7590-VHVEG"'), ("it's $HOME é", '"it\'s $HOME é"')]
)
def test_every_call_asks_about_the_customer_that_answers_however_it_is_spelled(tmp_path, customer, literal):
    lines = how_to_call(Settings(store=tmp_path, port=7), {}, ExampleCustomers(answering=customer))
    predict, explain, grpcurl, python = map(shlex.split, lines)
    assert [predict[-1], explain[-1]] == [str(customer)] * 2
    (asked,) = json.loads(grpcurl[3]).values()
    assert asked == customer
    assert python[-1] == f'from staunch import Client; print(Client("127.0.0.1:7").predict({literal}))'


def test_who_is_not_eligible_is_shown_with_what_becomes_of_the_call(tmp_path):
    examples = ExampleCustomers(7, "a b", "guest", "has a room")
    *_, call, outcome = how_to_call(Settings(store=tmp_path), {}, examples)
    assert shlex.split(call)[1:] == ["predict", "a b"]
    assert outcome == "is refused as CUSTOMER_NOT_ELIGIBLE: only a guest who has a room has a score."
    assert len(how_to_call(Settings(store=tmp_path), {}, ExampleCustomers(7))) == 4


@pytest.mark.parametrize(
    ("host", "called"),
    [
        ("127.0.0.1", "127.0.0.1:7"),
        ("0.0.0.0", "127.0.0.1:7"),
        ("::", "[::1]:7"),
        ("::1", "[::1]:7"),
        ("fe80::1", "[fe80::1]:7"),
        ("db.example", "db.example:7"),
    ],
)
def test_what_is_bound_is_shown_as_it_can_be_called(tmp_path, host, called):
    assert call_address(host, 7) == called
    settings = Settings(store=tmp_path, host=host, port=7, insecure_bind=True)
    predict, _, grpcurl, python = how_to_call(settings, {}, ExampleCustomers(3))
    assert shlex.split(predict)[-3:] == ["--server", called, "3"]
    assert shlex.split(grpcurl)[4] == called
    assert f'Client("{called}")' in python
