"""Kernels no family takes, by upstream passes."""
