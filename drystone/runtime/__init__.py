"""What an artifact needs to run: numpy alone."""
