"""Fit one row of a leaderboard: a network by a loss, or a baseline by its own rule."""
