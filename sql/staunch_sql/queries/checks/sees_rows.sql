-- Says whether the reader sees any row of a table.
SELECT EXISTS (SELECT FROM {table}) AS sees
