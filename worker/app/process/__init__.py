"""The process around a command: signals, standard streams, limits, the event loop."""
