-- Says of columns what a few rows cannot: nulls, NaN, what no feature may be, the last day.
SELECT {facts}
FROM {table} AS t {sampling}
