"""How well a model does on images that were corrupted, or perturbed against it."""
