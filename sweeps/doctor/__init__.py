"""What may go wrong with a sweep, and what went wrong: `python -m sweeps.doctor`."""
