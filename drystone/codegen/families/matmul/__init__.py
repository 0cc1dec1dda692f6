"""Matrix products, by what the right operand is held as and how many rows there are."""
