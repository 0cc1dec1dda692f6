"""Moves in time: copies between levels made beside operations."""
