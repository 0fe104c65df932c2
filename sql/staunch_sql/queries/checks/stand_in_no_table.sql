-- Stands in place of a table: its columns, made by a function that reads nothing, to see what reads the table still.
{name} AS NOT MATERIALIZED (
  SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, '[]'::jsonb) AS seen_rows
)
