"""Residency under an order: which tensors stay in a fast level, leave and return, or are computed again."""
