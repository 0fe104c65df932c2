"""What a serving process tells its operators beside metrics: listeners on the server's events.

`lines` says what a line looks like, `logs` sets up the log of a process, `repeats` counts what comes again;
the logs of calls are listeners, and traces come beside them. Nothing that serves knows this room: the
composition root lets its listeners hear the events.
"""
