"""The client's limits are the server's: what it may send is taken, and it asks for no more than is given."""

from staunch import RowError, _batch, _calls, _wire
from staunch_features.views.rules import MAX_KEY_BYTES
from staunch_server.services.batch_predict import MAX_CHUNK_ROWS
from staunch_server.services.models import MAX_PAGE_SIZE


def test_both_sides_say_the_same():
    assert _batch.MOST_ROWS == MAX_CHUNK_ROWS
    assert _calls._PAGE_SIZE == MAX_PAGE_SIZE
    assert _wire._KEY_BYTES == MAX_KEY_BYTES


async def test_a_largest_chunk_of_longest_keys_is_answered(serve, publish, either_of):
    publish(id_type="text")
    client = either_of(await serve())
    rows = await client.rows([f"{i:064}" for i in range(_batch.MOST_ROWS)], chunk_size=_batch.MOST_ROWS)
    assert len(rows) == _batch.MOST_ROWS
    assert {row.reason for row in rows if isinstance(row, RowError)} == {"CUSTOMER_NOT_FOUND"}
