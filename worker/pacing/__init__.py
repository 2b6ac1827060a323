"""When the next request may leave, and which id it is for."""
