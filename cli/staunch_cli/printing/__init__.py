"""What commands print, draw and write, and nothing that decides.

Text for people may change at any time; JSON and CSV may not (see CHANGELOG.md).
"""
