"""Schedulers: which trial goes on, stops, or takes over another's weights."""
