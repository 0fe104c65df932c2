"""The PostgreSQL that Staunch brings along, under our own small supervisor.

`server.py` starts and stops it and sees to it that it dies with us, `cluster.py` makes its folder whole
or not at all, `binaries.py` finds its programs, `privileges.py` says whom they run as, with which right,
`memory.py` sizes its cache.
Loopback only.
"""
