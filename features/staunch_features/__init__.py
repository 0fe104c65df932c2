"""From SQL to numbers.

- `postgres` opens connections, pools them, migrates and locks; it knows no view.
- `views` reads a view's file, asks the database what it takes and gives, and runs it: ids and a moment in, a
  matrix of features out. This is all that the server needs.
- `checks` is what a person asks of a view before training on it. No server imports it.
- `drafts` writes the first text of a view, from a table. No server imports it.

The arrows go one way: drafts ─> checks ─> views ─> postgres ─> `errors.py`. A view's text is the user's
own SQL and travels with each model that was trained on it, so what `views` accepts today it must accept
tomorrow.
"""
