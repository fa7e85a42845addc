"""Data sets: read, split and described, as plain NumPy arrays."""
