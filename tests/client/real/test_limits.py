"""The client's limits are the server's: what it may send is taken, and it asks for no more than is given."""

from pathlib import Path

from staunch import RetryPolicy, RowError, _batch, _calls, _connection, _wire
from staunch_features.views.rules import MAX_KEY_BYTES
from staunch_server.services.chunks import MAX_CHUNK_ROWS
from staunch_server.services.models import MAX_PAGE_SIZE
from staunch_server.transport.seam import USUAL_LIMITS

CONNECTIONS = Path(__file__).parents[3] / "docs" / "connections.md"


def test_both_sides_say_the_same():
    assert _batch.MOST_ROWS == MAX_CHUNK_ROWS
    assert _calls._PAGE_SIZE == MAX_PAGE_SIZE
    assert _wire._KEY_BYTES == MAX_KEY_BYTES


def test_the_server_takes_the_clients_pings_and_the_page_of_connections_names_the_numbers():
    options, page = _connection.usual_options(), CONNECTIONS.read_text()
    assert int(options["grpc.keepalive_time_ms"]) >= 10 * 1000 * USUAL_LIMITS.ping_interval_s
    for name in ("keepalive_time_ms", "keepalive_timeout_ms", "http2.ping_timeout_ms"):
        assert f"`grpc.{name}` {options[f'grpc.{name}']}" in page
    assert (RetryPolicy().max_tokens, RetryPolicy().token_ratio) == (10, 0.1)
    assert "keeps ten tokens, to which each call adds a tenth" in " ".join(page.split())
    assert f"one every {USUAL_LIMITS.ping_interval_s:g} s" in page
    assert f"is pinged after | {USUAL_LIMITS.keepalive_s:g} s" in page
    assert f"without an answer within | {USUAL_LIMITS.keepalive_timeout_s:g} s" in page


async def test_a_largest_chunk_of_longest_keys_is_answered(serve, publish, either_of):
    publish(id_type="text")
    client = either_of(await serve())
    rows = await client.rows([f"{i:064}" for i in range(_batch.MOST_ROWS)], chunk_size=_batch.MOST_ROWS)
    assert len(rows) == _batch.MOST_ROWS
    assert {row.reason for row in rows if isinstance(row, RowError)} == {"CUSTOMER_NOT_FOUND"}
