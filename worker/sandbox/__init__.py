"""A local stand-in of the API, to rehearse and to test against.

`Sandbox` stands in `server`, apart from the rest, because it alone needs an HTTP server.
"""
