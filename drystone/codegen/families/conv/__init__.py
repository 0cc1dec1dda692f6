"""Convolutions, by how they read the image and what units multiply."""
