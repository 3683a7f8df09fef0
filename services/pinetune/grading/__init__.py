"""Completion in, grade out: the service around the Rust core. Stateless; it knows no job and no trainer.

Read `service.py` (a call from request bytes to reply bytes), then `grader_core/src/lib.rs` (what happens between).
"""
