"""Models and explainers written as ONNX graphs."""
