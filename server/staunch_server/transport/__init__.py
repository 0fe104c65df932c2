"""From a socket to a handler's bytes: the seam, its two adapters, the guard.

`seam.py` is what an adapter must offer; `aio.py` (the reference) and `native.py` (the fast one) are the
only modules that know a gRPC library, and pass the same tests. `guard.py` parses, checks, keeps the
deadline, calls the service, turns every error into one status, and tells those who listen to events.

Who may call will be asked from the guard too: TLS and tokens come into a room of their own, `access`, which
the composition root hands in.
"""
