"""Typed clients of the services: deadlines, our errors, plain Python values. Used by jobs, gateway, cli and by users."""
