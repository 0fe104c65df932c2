"""What a serving process tells its operators beside metrics: listeners on the server's events.

The log of calls is here; traces and an access log come beside it. Nothing that serves knows this room: the
composition root lets its listeners hear the events.
"""
