"""Frontier: many policies forecast, and those among them that no other beats."""
