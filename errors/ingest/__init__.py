"""HTTP in: the addresses of the Sentry protocol and the plain JSON endpoint, from a WSGI environ to a response."""
