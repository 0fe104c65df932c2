"""Processes: the composition root of one, the supervisor of many."""
