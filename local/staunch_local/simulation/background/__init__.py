"""What a simulated life happens in: time, chance, tables, rules, names, the market."""
