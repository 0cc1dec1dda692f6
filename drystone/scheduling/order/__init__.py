"""Order: which operation runs when, so that the least is held at a time."""
