"""Pictures: plans as walls of stones, curves of memory against work."""
