"""The one list of modules without a test file of their name: which tests hold them instead."""

from collections.abc import Mapping
from typing import NamedTuple


class Held(NamedTuple):
    """Which tests hold a module that has no test file of its name.

    Attributes:
        file: The test file, below tests/.
        reason: What there holds the module.
        through: Our module that the tests use and that uses this one; empty if they import this one itself.
    """

    file: str
    reason: str
    through: str = ""


TESTED_ELSEWHERE: Mapping[str, Held] = {
    "staunch.testing._rows": Held(
        "client/_joining/test_in_loop.py",
        "the fake beside the real guard, by the same tests",
        through="staunch.testing",
    ),
    "staunch_features.checks.findings": Held(
        "features/checks/test_check.py",
        "each finding by the view that earns it",
        through="staunch_features.checks.check",
    ),
    "staunch_features.drafts.catalogue": Held(
        "features/drafts/test_draft.py",
        "tables of odd names, in any schema, closed ones",
        through="staunch_features.drafts.draft",
    ),
    "staunch_features.drafts.categories": Held(
        "features/drafts/test_draft.py", "texts, enums, yes and no", through="staunch_features.drafts.draft"
    ),
    "staunch_features.drafts.columns": Held(
        "features/drafts/test_draft.py", "a column of each type", through="staunch_features.drafts.draft"
    ),
    "staunch_features.drafts.contents": Held(
        "features/drafts/test_draft.py",
        "rare values, infinities, no rows",
        through="staunch_features.drafts.draft",
    ),
    "staunch_features.drafts.feature": Held(
        "features/drafts/test_draft.py",
        "records: names, units, what null means",
        through="staunch_features.drafts.draft",
    ),
    "staunch_features.drafts.json_paths": Held(
        "features/drafts/test_draft.py",
        "paths, kinds of values, odd names",
        through="staunch_features.drafts.draft",
    ),
    "staunch_features.drafts.texts": Held(
        "features/drafts/test_draft.py",
        "both files, parsed, checked and run",
        through="staunch_features.drafts.draft",
    ),
    "staunch_features.postgres.advisory_locks": Held(
        "features/postgres/test_migrations.py",
        "two who migrate at once",
        through="staunch_features.postgres.migrations",
    ),
    "staunch_features.postgres.progress": Held(
        "features/postgres/test_migrations.py",
        "one type, no code",
        through="staunch_features.postgres.migrations",
    ),
    "staunch_features.views.types": Held("features/views/test_signature.py", "records without code"),
    "staunch_local.postgres.binaries": Held(
        "local/postgres/test_server.py", "found, absent, and the system's"
    ),
    "staunch_local.postgres.cluster": Held(
        "local/postgres/test_server.py", "a folder made, kept, damaged, taken"
    ),
    "staunch_local.simulation.background.arrays": Held(
        "local/simulation/rows/test_rows.py", "types, no code", through="staunch_local.simulation.world"
    ),
    "staunch_local.simulation.background.market": Held(
        "local/simulation/test_world_docs.py", "the figures of the page"
    ),
    "staunch_local.simulation.background.names": Held(
        "local/simulation/rows/test_rows.py",
        "names and places of the rows",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.background.reference": Held(
        "local/simulation/test_growth.py", "read from the database"
    ),
    "staunch_local.simulation.background.tables": Held(
        "local/simulation/rows/test_binary_copy.py", "columns, types"
    ),
    "staunch_local.simulation.life.billing": Held(
        "local/simulation/rows/test_rows.py",
        "bills, payments and refunds as rows",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.life.block": Held(
        "local/simulation/test_growth.py", "one block grown in one or many steps"
    ),
    "staunch_local.simulation.life.leaving": Held(
        "local/simulation/rows/test_rows.py",
        "who leaves, when, and what is written of it",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.life.moves": Held(
        "local/simulation/rows/test_rows.py",
        "provinces of a life, one after the other",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.life.people": Held(
        "local/simulation/test_growth.py", "who comes, and with what"
    ),
    "staunch_local.simulation.life.state": Held(
        "local/simulation/test_growth.py",
        "kept and taken up again",
        through="staunch_local.simulation.life.block",
    ),
    "staunch_local.simulation.life.subscriptions": Held(
        "local/simulation/rows/test_rows.py",
        "lines, plans and prices as rows",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.life.terms": Held(
        "local/simulation/rows/test_rows.py",
        "contracts and promotions as rows",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.life.tickets": Held(
        "local/simulation/rows/test_rows.py",
        "tickets and their times as rows",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.spelling": Held(
        "local/simulation/rows/test_rows.py",
        "names and addresses as text",
        through="staunch_local.simulation.world",
    ),
    "staunch_local.simulation.world": Held(
        "local/simulation/test_write.py", "made, appended to, rebuilt when half"
    ),
    "staunch_model_store.errors": Held(
        "model_store/test_store.py", "classes with a message, raised by the store"
    ),
    "staunch_training.errors": Held("training/test_train.py", "classes with a message"),
    "staunch_training.onnx.graph": Held(
        "training/onnx/test_model.py",
        "the graph of each exported file",
        through="staunch_training.onnx.model",
    ),
    "staunch_training.onnx.levels": Held(
        "training/onnx/test_explainer.py",
        "one of the two ways to explain, against shap",
        through="staunch_training.onnx.explainer",
    ),
    "staunch_training.onnx.tables": Held(
        "training/onnx/test_explainer.py",
        "one of the two ways to explain, against shap",
        through="staunch_training.onnx.explainer",
    ),
    "staunch_training.selection": Held(
        "training/test_train.py", "which candidate is published, and why", through="staunch_training.train"
    ),
    "staunch_training.types": Held("training/onnx/test_model.py", "records without code"),
    "staunch_server.models.versions": Held(
        "server/models/test_registry.py",
        "loads that are joined, refused, let go",
        through="staunch_server.models.registry",
    ),
    "staunch_server.process.channel.child": Held(
        "server/process/test_supervisor.py", "workers that hang, die, mumble and are told to end"
    ),
    "staunch_server.setting_words": Held(
        "server/test_settings.py", "a wrong value of every setting, and what may be shown of it"
    ),
    "staunch_server.transport.aio": Held(
        "server/transport/test_transport.py", "the same tests on both transports"
    ),
    "staunch_server.transport.contexts": Held(
        "server/transport/test_strays.py",
        "what refused calls are told, and counted as",
        through="staunch_server.transport.strays",
    ),
    "staunch_server.transport.native": Held(
        "server/transport/test_transport.py", "the same tests on both transports"
    ),
    "staunch_server.transport.seam": Held(
        "server/transport/test_transport.py", "protocols, and what a call is"
    ),
    "staunch_server.transport.turns": Held(
        "server/transport/test_guard.py",
        "callers who send late, or never",
        through="staunch_server.transport.guard",
    ),
    "staunch_server.transport.writing": Held(
        "server/transport/test_health.py",
        "watchers who take nothing, or late",
        through="staunch_server.transport.health",
    ),
    "staunch_cli.pictures.bars": Held(
        "cli/pictures/test_view_pages.py", "labels, units, tails", through="staunch_cli.pictures.panel"
    ),
    "staunch_cli.pictures.panel": Held("cli/pictures/test_view_pages.py", "a view of one feature each"),
    "staunch.testing._answers": Held(
        "client/testing/test_server.py", "what the fake answers", through="staunch.testing"
    ),
    "tools.mutate.__main__": Held("tools/test_mutate.py", "the command and what it prints"),
    "tools.mutate.copies": Held(
        "tools/test_mutate.py", "the copy runs, and the tree stays as it was", through="tools.mutate.__main__"
    ),
    "tools.mutate.cover": Held(
        "tools/test_mutate.py", "the tests that kill, found", through="tools.mutate.__main__"
    ),
    "tools.mutate.coverage_contexts": Held(
        "tools/test_mutate.py", "the tests that pass, counted", through="tools.mutate.__main__"
    ),
    "tools.mutate.forking": Held(
        "tools/test_mutate.py",
        "runs one after the other, and one that hangs",
        through="tools.mutate.__main__",
    ),
    "tools.mutate.mutants": Held(
        "tools/test_mutate.py", "what is drawn and what is left alone", through="tools.mutate.__main__"
    ),
}
"""By module, what holds it."""
