"""The one list of modules without a test file of their name: which tests hold them instead."""

from collections.abc import Mapping

_CHECK = "features/checks/test_check.py"
_HISTORIES = "local/simulation/rows/test_rows.py"
_MUTATE = "tools/test_mutate.py"
_EXPLAINER = "training/onnx/test_explainer.py"

TESTED_ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "staunch_features.checks.findings": (_CHECK, "each finding by the view that earns it"),
    "staunch_features.errors": (
        "features/postgres/test_pool.py",
        "classes with a message, raised in each room",
    ),
    "staunch_features.postgres.advisory_locks": (
        "features/postgres/test_migrations.py",
        "two who migrate at once",
    ),
    "staunch_features.postgres.progress": ("features/postgres/test_migrations.py", "one type, no code"),
    "staunch_features.views.types": ("features/views/test_source.py", "records without code"),
    "staunch_local.postgres.binaries": ("local/postgres/test_server.py", "found, absent, and the system's"),
    "staunch_local.postgres.cluster": (
        "local/postgres/test_server.py",
        "a folder made, kept, damaged, taken",
    ),
    "staunch_local.simulation.background.arrays": ("local/simulation/rows/test_rows.py", "types, no code"),
    "staunch_local.simulation.background.market": (
        "local/simulation/test_world_docs.py",
        "the figures of the page",
    ),
    "staunch_local.simulation.background.names": (_HISTORIES, "names and places of the rows"),
    "staunch_local.simulation.background.reference": (
        "local/simulation/test_growth.py",
        "read from the database",
    ),
    "staunch_local.simulation.background.tables": (
        "local/simulation/rows/test_binary_copy.py",
        "columns, types",
    ),
    "staunch_local.simulation.life.billing": (_HISTORIES, "bills, payments and refunds as rows"),
    "staunch_local.simulation.life.block": (
        "local/simulation/test_growth.py",
        "one block grown in one or many steps",
    ),
    "staunch_local.simulation.life.leaving": (_HISTORIES, "who leaves, when, and what is written of it"),
    "staunch_local.simulation.life.moves": (_HISTORIES, "provinces of a life, one after the other"),
    "staunch_local.simulation.life.people": ("local/simulation/test_growth.py", "who comes, and with what"),
    "staunch_local.simulation.life.state": ("local/simulation/test_growth.py", "kept and taken up again"),
    "staunch_local.simulation.life.subscriptions": (_HISTORIES, "lines, plans and prices as rows"),
    "staunch_local.simulation.life.terms": (_HISTORIES, "contracts and promotions as rows"),
    "staunch_local.simulation.life.tickets": (_HISTORIES, "tickets and their times as rows"),
    "staunch_local.simulation.spelling": (_HISTORIES, "names and addresses as text"),
    "staunch_local.simulation.world": (
        "local/simulation/test_write.py",
        "made, appended to, rebuilt when half",
    ),
    "staunch_model_store.errors": (
        "model_store/test_store.py",
        "classes with a message, raised by the store",
    ),
    "staunch_training.errors": ("training/test_train.py", "classes with a message"),
    "staunch_training.onnx.graph": ("training/onnx/test_model.py", "the graph of each exported file"),
    "staunch_training.onnx.levels": (_EXPLAINER, "one of the two ways to explain, against shap"),
    "staunch_training.onnx.tables": (_EXPLAINER, "one of the two ways to explain, against shap"),
    "staunch_training.selection": ("training/test_train.py", "which candidate is published, and why"),
    "staunch_training.types": ("training/onnx/test_model.py", "records without code"),
    "staunch_server.transport.aio": (
        "server/transport/test_transport.py",
        "the same tests on both transports",
    ),
    "staunch_server.transport.native": (
        "server/transport/test_transport.py",
        "the same tests on both transports",
    ),
    "staunch_server.transport.seam": ("server/transport/test_transport.py", "protocols, and what a call is"),
    "tools.mutate.__main__": (_MUTATE, "the command and what it prints"),
    "tools.mutate.copies": (_MUTATE, "the copy runs, and the tree stays as it was"),
    "tools.mutate.cover": (_MUTATE, "the tests that kill, found"),
    "tools.mutate.coverage_contexts": (_MUTATE, "the tests that pass, counted"),
    "tools.mutate.forking": (_MUTATE, "runs one after the other, and one that hangs"),
    "tools.mutate.mutants": (_MUTATE, "what is drawn and what is left alone"),
}
"""By module: the test file below tests/, and what there holds the module."""
