-- Runs a feature view and packs its rows into one binary matrix, which costs a tenth of decoding rows.
SELECT array_agg(packed.{id}) AS ids,
       array_send(array_agg(ARRAY[{columns}]::float8[])) AS matrix
FROM (
{statement}
) AS packed
