"""What `staunch top` shows: two readings of /metrics, what happened between them, and a screen of that."""
