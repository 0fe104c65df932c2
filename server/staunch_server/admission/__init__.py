"""How many calls are taken, and which: so that what is taken is answered in time.

The composition root hands what is here to the guard; no transport and no service imports it.
"""
