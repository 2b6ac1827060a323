"""Complete a backlog of ComplyCube workflow sessions: nothing lost, nothing done twice."""

__version__ = "0.1.0"
