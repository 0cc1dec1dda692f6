"""Attention written by hand as one operation, and its masks."""
