-- Reads some rows as texts, from which is seen what their columns hold.
SELECT {columns}
FROM {table} AS t {sampling}
LIMIT {most}
