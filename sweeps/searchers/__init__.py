"""Searchers: which config is tried next."""
