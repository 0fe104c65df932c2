"""A fake server for tests of code that calls Staunch: real gRPC on loopback, no database and no model.

    from staunch import Client
    from staunch.testing import Failure, FakeServer

    with FakeServer() as server, Client(server.target) as client:
        server.scores[42] = 0.91
        server.scores[43] = Failure("CUSTOMER_NOT_FOUND")
        print(client.predict(42).probability)

The real clients talk to it, so nothing of theirs is replaced. It passes the tests that the clients pass
against the real server's guard, so that it cannot drift from it.
"""

from staunch.testing._failures import Failure as Failure
from staunch.testing._server import FakeServer as FakeServer
from staunch.testing._server import ReceivedCall as ReceivedCall
