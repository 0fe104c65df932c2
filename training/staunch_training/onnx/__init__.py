"""Models and explainers written as ONNX graphs, in float64.

`model.py` writes the trees; `explainer.py` writes exact TreeSHAP, shallow trees by `tables.py` and deep
ones by `levels.py`. What they answer is held against scikit-learn, XGBoost and shap by tests, never
against themselves.
"""
