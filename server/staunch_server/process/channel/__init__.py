"""How the workers of one server hear of one another: a socket from each to their supervisor.

- `lines.py` sends and takes lines of words, at both ends; `child.py` is a worker as its supervisor knows it.
- `following.py` is the supervisor's part in a moved alias, `siblings.py` a worker's.

What a worker says: `reading` before it reads the store, `ready NAME@VERSION=ALIAS,... ...` once it answers,
`trouble WHY` when it has no version that does, `error WHY` if it ends of what it cannot get over,
`moved TOKEN MS ALIAS`, `followed NUMBER yes|no`, `reload`. What it hears: `noted` after `reading`,
`follow NUMBER ALIAS`, `followed TOKEN WORKER...` with those that do not, `reload`.
"""
