"""One file a method: what a call asks, what it is answered.

A handler takes a message and gives a message, or raises an exception of ours; it knows neither gRPC nor
metrics, which are the guard's. `request.py` reads what all of them are asked. A new RPC is a file here.
"""
