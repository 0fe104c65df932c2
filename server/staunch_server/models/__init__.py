"""The versions in memory, and how calls are answered by them."""
