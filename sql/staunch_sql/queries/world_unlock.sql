-- Lets the next writer of the simulated world in.
SELECT pg_advisory_unlock(512970878052::bigint);
