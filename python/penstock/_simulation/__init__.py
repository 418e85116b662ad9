"""Simulation: what a workflow would do under a model of its steps, and under changed policies."""
