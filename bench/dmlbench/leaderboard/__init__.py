"""Leaderboards: tables, pictures and pages, made from records alone."""
