"""Tile programs as MLIR for a CPU."""
