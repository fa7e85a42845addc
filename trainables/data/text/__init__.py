"""Texts: read, split, cut into words and pieces, and expanded to tokens on the device."""
