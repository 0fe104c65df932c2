"""Processes: the composition root of one, the supervisor of many.

`server.py` is the only place where parts are put together, from settings to transport, and taken apart
in reverse. `supervisor.py` starts workers by exec and imports neither grpc nor onnxruntime. What the
root makes it hands in: to replace a part, replace it there.
"""
