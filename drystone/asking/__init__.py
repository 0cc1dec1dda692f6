"""What the user asks for: a model, with passes for its numbers and what calibration shows of them."""
