"""Runs of operations that are computed piece by piece."""
