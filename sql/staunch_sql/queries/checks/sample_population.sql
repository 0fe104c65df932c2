-- Draws ids from all parts of a view's population: the same ones each time, whatever their order and their type.
-- What no call can ask for comes first, and what is there twice: of those the whole population is looked through.
SELECT listed.id AS id, count(*)::bigint AS times
FROM (
  SELECT member.id{cast} AS id
  FROM (
{statement}
  ) AS member(id)
) AS listed
GROUP BY listed.id
ORDER BY (count(*) > 1 OR listed.id IS NULL OR {bad}) DESC,
  hashtextextended(listed.id::text COLLATE "C", 0) NULLS FIRST, listed.id
LIMIT {most}
