"""Loads, verifies, predicts and explains model versions with numpy and onnxruntime only."""
