"""What models cost, and what may be spent on them: prices, budgets, reservations, usage, forecasts. Never overspent."""
