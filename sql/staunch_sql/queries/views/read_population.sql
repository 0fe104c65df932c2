-- Lists every candidate id of a view, in the order of the view's own text.
SELECT member.id{cast} AS id
FROM (
{statement}
) AS member(id)
