"""Weights with zeros, smaller tensors, and rows that are left out."""
