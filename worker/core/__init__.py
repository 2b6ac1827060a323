"""Values that every room shares: outcomes, errors, events, time, text, secrets."""
