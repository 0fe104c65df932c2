"""One file a method: what a call asks, what it is answered.

A handler takes a message and gives a message, or raises an exception of ours; it knows no gRPC. `request.py`
reads what all of them are asked, `answer.py` writes what most of them answer. A new RPC is a file here, and
its line in the composition root; the few of ModelService share `models.py`.
"""
