"""Every computation as a function of its own."""
