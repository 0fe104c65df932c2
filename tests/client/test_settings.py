"""What both clients hold: how long to wait, how stubbornly, what to send along."""

import grpc
import pytest

from staunch import Client, RetryPolicy, Unavailable
from staunch._errors import ErrorDetails
from staunch._settings import ClientSettings

UNAVAILABLE = Unavailable(grpc.StatusCode.UNAVAILABLE, "as told", ErrorDetails())


def settings(**changes):
    fields = {"timeout_s": 5.0, "metadata": {}, "retry": RetryPolicy(first_wait_s=0.0)}
    return ClientSettings(**(fields | changes))


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_timeout_must_be_above_zero(timeout_s):
    with pytest.raises(ValueError, match="above 0"):
        Client("127.0.0.1:1", timeout_s=timeout_s)


def test_a_timeout_may_be_as_short_as_it_likes():
    assert settings(timeout_s=1e-9).timeout_s == 1e-9


def test_secrets_in_metadata_do_not_show():
    with Client("127.0.0.1:1", metadata={"authorization": "Bearer secret"}) as client:
        assert "secret" not in repr(vars(client))


def test_a_call_waits_as_long_as_it_says_or_as_the_client_does():
    assert 4 < settings().tries(None, retry=True).remaining_s <= 5
    assert 59 < settings().tries(60.0, retry=True).remaining_s <= 60
    assert settings().tries(0.0, retry=True).remaining_s == 0


def test_a_call_that_must_not_be_sent_twice_has_one_try():
    settings().tries(None, retry=True).failed(UNAVAILABLE)
    with pytest.raises(Unavailable):
        settings().tries(None, retry=False).failed(UNAVAILABLE)


def test_metadata_of_the_call_wins_over_the_clients():
    merged = settings(metadata={"a": "1", "b": "1"}).merged({"b": "2", "c": "2"})
    assert merged == (("a", "1"), ("b", "2"), ("c", "2"))
    assert settings().merged(None) == ()
