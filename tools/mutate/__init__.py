"""Changes the code a little, in a copy, and asks the tests whether they notice: `make mutate`."""
