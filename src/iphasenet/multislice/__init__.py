"""multislice."""
