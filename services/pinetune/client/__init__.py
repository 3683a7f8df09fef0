"""Typed clients of the services: deadlines, our errors, plain values. For jobs, gateway, cli and users' own code."""
