"""Reads run folders: fronts, hypervolume, ranking, report. Imports neither Ray nor Torch."""
