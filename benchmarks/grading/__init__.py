"""Grading: every kind of the Rust core against the fastest peer there is for it, on the same answers.

    python -m benchmarks.grading [--rounds 7] [--only fuzzy] [--all-cores]

`pip install pinetune[bench]` brings the peers; one that is missing is left out, with a line that says so. One process,
rounds interleaved so that all see the same machine; CPU seconds on one thread, so that other work counts little (wall
seconds where all cores are compared). Ours is what a pod does with a call: request bytes to reply bytes. Theirs goes
from Python lists to scores. Printed are microseconds an answer (least over the rounds), how many times as fast ours is
(least over least, and the median of the rounds), the bar, and with how many answers both agree.
"""
