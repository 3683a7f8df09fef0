"""Graders that a team runs itself, over gRPC or HTTP."""
