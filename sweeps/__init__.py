"""What a person runs, and how a sweep is scheduled."""
