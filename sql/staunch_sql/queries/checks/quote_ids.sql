-- Writes an array of ids as a quoted literal, for statements that take no parameters.
SELECT quote_literal($1::{type}[]::text) AS literal
