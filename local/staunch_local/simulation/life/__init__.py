"""What happens to simulated customers, month by month."""
