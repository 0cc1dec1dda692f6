"""Matrices with zeros, as kernels read them."""
