"""Matrices of codes, and how kernels read them."""
