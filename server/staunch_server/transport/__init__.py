"""From a socket to a handler's bytes: the seam, its adapters, the guard."""
