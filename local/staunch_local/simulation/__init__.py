"""The simulated world: customers whose reasons to leave are known.

Because the hazard is known, so is the best that any model can reach (`ceiling.py`), and every model is
judged against that. `world.py` is the way in, `write.py` the way to the database. Within, each room
stands on the next: `life` (what happens, month by month) ─> `rows` (what that leaves behind) ─>
`background` (time, chance, rules).

Draws depend on nothing but their key: whoever changes their order or their keys changes every world that
was ever written and could no longer go on with it.
"""
