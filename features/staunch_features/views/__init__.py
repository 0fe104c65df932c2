"""Feature views and labels: their files, what the database says of them, what they give.

A view goes through here in this order: `file.py` reads the text, whose comment `header.py` takes apart,
`signature.py` asks the database for parameters and columns, `clocks.py` refuses what would answer
differently at another time, and `source.py` runs it: one statement for a whole batch of ids. Errors name
the line of the user's own file (`sql_errors.py`).
"""
