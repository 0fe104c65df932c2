"""Calls of `predict` that are made at the same time, joined into the messages of a stream."""
