"""Feature views and labels: their files, what the database says of them, what they give."""
