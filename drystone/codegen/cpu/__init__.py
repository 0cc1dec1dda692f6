"""Tile programs as code of a CPU: what lowers them, what calls them, and the pool of threads."""
