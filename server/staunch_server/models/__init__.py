"""The versions in memory, and how calls are answered by them.

`registry.py` follows the store's folder and aliases and decides which versions are held; `served.py` is
one of them with the view it was trained on: fetch, score, explain. `coalescer.py` joins the calls that
wait into one query and one ONNX run. No gRPC here, no request and no answer: those are `services`.
"""
