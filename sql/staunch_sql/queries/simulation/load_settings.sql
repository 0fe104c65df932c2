-- Settings of the transaction that loads a world: memory and helpers for building indexes and checking keys.
SELECT set_config('maintenance_work_mem', '128MB', true), set_config('work_mem', '64MB', true),
       set_config('max_parallel_workers_per_gather', '1', true);
