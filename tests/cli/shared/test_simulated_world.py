"""Where the rows of a simulated world end, for views that read them."""

import pytest
from tests.cli.conftest import WORLD_UNTIL

import staunch_sql
from staunch_cli.shared.database import DatabaseUrls
from staunch_cli.shared.simulated_world import end_of_world
from staunch_features.views.file import load_label, load_view

CHURN = load_view("churn", [staunch_sql.FEATURES_FOLDER])
LABEL = load_label("churn", [staunch_sql.LABELS_FOLDER])


@pytest.mark.parametrize("label", [LABEL, None], ids=["with a label", "without"])
async def test_the_view_we_ship_ends_with_the_world_that_it_reads(simulated_world, label):
    assert await end_of_world(simulated_world, CHURN, label, 60.0) == WORLD_UNTIL


async def test_without_a_world_nothing_ends(database):
    urls = DatabaseUrls(database.owner_url, database.reader_url)
    assert await end_of_world(urls, CHURN, LABEL, 60.0) is None
