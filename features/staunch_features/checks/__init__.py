"""What a person asks of a view before training on it: `staunch view check`, `show` and `plot`.

`check.py` asks everything in order; `findings.py` is what comes of it, and `notes.py` says what must be
mended and what is only advised. Each question is a module of its own and can be asked alone. Only reads,
within a budget of time, so that a check may run against a database at work.
"""
