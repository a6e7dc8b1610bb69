"""Fit one row of a leaderboard: train a network with a loss, or fit a baseline."""
