"""What happens to simulated customers, month by month.

`block.py` draws one block of customers and calls the others in the order of a month; `hazard.py` is the
truth that a model is to find. Each module is one trade: people, subscriptions, billing, tickets,
leaving.
"""
