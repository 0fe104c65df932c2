"""Served versions of a small real model, for tests that read no database."""

from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from tests.server.harness.running import Publish

from staunch_features.postgres.pool import Database
from staunch_model_store.model import LoadedModel
from staunch_server.metrics import Metrics
from staunch_server.models.served import Served, view_of
from staunch_server.models.view_health import CheckedView, Databases
from staunch_server.models.why_not import WhyNot

NOWHERE = "postgresql://reader@127.0.0.1:1/nothing"
"""An address at which no database answers."""


@dataclass(frozen=True)
class MakeServed:
    """Makes served versions: `make(id_type="text", thresholds=None, ...)`, arguments as of `Publish`."""

    publish: Publish

    def __call__(self, **changes: Any) -> Served:
        """Publishes, loads and proves the next version; its database does not answer."""
        stored = self.publish(**changes)
        pool = Database(NOWHERE, size=1)
        view = CheckedView(view_of(stored), stored.manifest, Databases(pool, pool), WhyNot(pool))
        metrics = Metrics(CollectorRegistry()).model("churn@1")
        model = LoadedModel.load(stored)
        return Served(model, stored, view, metrics, max_batch_rows=32, query_timeout_s=5.0)
