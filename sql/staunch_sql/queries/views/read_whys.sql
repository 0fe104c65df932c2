-- Says of ids that have a row why they are not eligible, if the view can tell; asked for refused calls alone.
SELECT asked.{id} AS id, left({why}, {length}) AS why
FROM (
{statement}
) AS asked
