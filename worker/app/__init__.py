"""What commands are made of: a run put together, its preflight, its forecast."""
