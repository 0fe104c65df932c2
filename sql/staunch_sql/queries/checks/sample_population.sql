-- Draws ids from all parts of a view's population: the same ones each time, whatever their order and their type.
SELECT member.id{cast} AS id
FROM (
{statement}
) AS member(id)
ORDER BY hashtextextended(member.id::text COLLATE "C", 0) NULLS FIRST, member.id
LIMIT {most}
