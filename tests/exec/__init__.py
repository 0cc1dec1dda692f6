"""Generated code, executed."""
