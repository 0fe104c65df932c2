"""Fits, calibrates, exports, evaluates and publishes models; the heavy libraries live here only."""
