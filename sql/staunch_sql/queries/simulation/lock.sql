-- Lets one writer of the simulated world in at a time; 0x776f726c64 spells "world".
SELECT pg_advisory_lock(512970878052::bigint);
