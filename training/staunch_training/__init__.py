"""Fits, calibrates, exports, evaluates and publishes models; the heavy libraries live here only.

`train.py` is the whole of it in order: dates and sides (`dataset.py`, `split.py`), columns that know too
much (`leaks.py`), candidates (`learners.py`, `selection.py`), their trees in one form (`trees.py`),
calibration and costs, the ONNX files (`onnx`), golden rows computed by the native libraries
(`golden.py`), and the store (`publish.py`). Comes with the extra `train`; no server imports it. A new
learner is a function in `learners.py` that gives trees.
"""
