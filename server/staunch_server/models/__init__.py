"""The versions in memory, and how calls are answered by them.

- `registry.py` keeps the store in view and holds the lock; `versions.py` has the versions in memory,
  `version.py` is its record of one, with a state and which state may follow which; `answers.py` decides from
  these, purely, which name answers by what. `stored` is what it knows of the disk.
- `served.py` is one version in memory: fetch, score, explain. It reads through `coalescer.py`, which joins
  the calls that wait into one query and one ONNX run, `view_health.py` and `bad_rows.py`.

No gRPC here, no request and no answer: those are `services`.
"""
