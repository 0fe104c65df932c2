"""docs/api.md is what the protos say."""

import re
from pathlib import Path

from tools.api_page import page

from staunch.v1 import feature_pb2, model_service_pb2, prediction_service_pb2

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current() -> None:
    assert (DOCS / "api.md").read_text() == page(), "run `make docs`"


def test_the_page_names_every_method_message_field_and_value() -> None:
    text = (DOCS / "api.md").read_text()
    files = (prediction_service_pb2, model_service_pb2, feature_pb2)
    for contract in (file.DESCRIPTOR for file in files):
        names = [m for service in contract.services_by_name.values() for m in service.methods_by_name]
        names += [f for message in contract.message_types_by_name.values() for f in message.fields_by_name]
        names += [v for enum in contract.enum_types_by_name.values() for v in enum.values_by_name]
        assert [name for name in names if f"`{name}`" not in text] == []
        headings = [*contract.services_by_name, *contract.message_types_by_name, *contract.enum_types_by_name]
        assert [name for name in headings if f"# {name}\n" not in text] == []


def test_every_link_within_the_page_has_a_heading() -> None:
    text = (DOCS / "api.md").read_text()
    headings = {line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
