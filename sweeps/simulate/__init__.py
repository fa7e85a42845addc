"""Sweeps replayed in virtual time: Ray Tune's own controller, without actors and without Ray."""
