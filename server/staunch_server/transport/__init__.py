"""From a socket to a handler's bytes: the seam, its two adapters, the guard.

`seam.py` is what an adapter must offer; `aio.py` (the reference) and `native.py` (the fast one) are the
only modules that know a gRPC library, and pass the same tests. `guard.py` parses, checks, keeps the
deadline, calls the service, turns every error into one status, and tells those who listen to events.
`strays.py` ends what comes to no method, or brings it no message; `health.py` answers and is watched.

Who may call is a room of its own, `access`, still to come: the composition root hands its questions to the
guard and its certificates to the adapter, and this room knows neither.
"""
