"""Keys and values that stay between calls: held as codes, or not all of them kept."""
