"""Programs of integers alone: fixed-point numbers, what scalar regions become, and how tensors are held."""
