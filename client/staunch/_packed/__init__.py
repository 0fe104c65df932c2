"""Features packed for a model: plain numbers in its order, from a dict, an array or a data frame."""
