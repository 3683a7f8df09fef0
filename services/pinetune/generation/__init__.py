"""Prompt in, sampled tokens out: the room that samples, and the only one that turns text into tokens."""
