"""Pieces: runs of operations computed patch by patch, chosen as a shortest path over spans."""
