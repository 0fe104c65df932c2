"""Loads, verifies, predicts and explains model versions with numpy and onnxruntime only.

A version is a folder that proves itself: `store.py` finds it and moves aliases, `manifest.py` says what
it is and by which digests, `model.py` runs its golden rows before it answers anything, in sessions of
`runtime.py`, the one door to onnxruntime. Nothing is unpickled. Training writes through here and the server
reads through here, so the format of a folder is decided in one place; a format that a release has written
stays readable.
"""
