"""One file a method: what a call asks, what it is answered."""
