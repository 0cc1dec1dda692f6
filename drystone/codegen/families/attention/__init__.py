"""Attention, by how many queries there are and what keys and values are held in."""
