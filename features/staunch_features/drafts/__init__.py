"""What `staunch view new` writes: the first text of a feature view and of its label, drafted from one table.

- `draft.py` does it in order and tries both texts out, `texts.py` writes them.
- `catalogue.py` asks the database what the table is, `contents.py` what its rows hold.
- `keys.py` and `answers.py` choose the columns that are the key, the answer and the time.
- `columns.py` makes features of a column, `categories.py` of its texts, `json_paths.py` of its json.

Only reads, as the reader.
"""
