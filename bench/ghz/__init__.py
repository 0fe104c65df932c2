"""Loads a server with ghz: the lists of whom to ask, the profiles, what they gave as a page and a plot."""
