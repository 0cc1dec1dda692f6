"""Recurrent layers, by rows or by units."""
