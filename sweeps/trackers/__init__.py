"""Where a sweep's numbers go beside its run folder."""
