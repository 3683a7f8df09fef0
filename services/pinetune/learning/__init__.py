"""The learning room: graded rollouts in, new policy out.

- advantages.py    rewards to advantages: GAE as ReFT has it, and the group estimators
- losses.py        the clipped losses of PPO
- ppo.py           one update: the whole of PPO's mathematics, top to bottom
- measurements.py  what an update measures besides: sampler gap, explained variance
- value_fit.py     where the value head begins
- warm_up.py       one supervised step
- policy.py        the model, its value head, its log-probabilities, fast
- batches.py       token sequences to micro-batches; prompts computed once for all their completions
- optimizer.py     AdamW, learning rates, gradient clipping
- settings.py      what a job may set, with ReFT's defaults; limits.py refuses the rest
- nano.py          a small base model made from nothing; looking_back.py sets some of its heads
- learner.py       what is held between calls, and the order it may change in; steps.py makes each step count once
- checkpoints.py   all of that to files and back; policy_files.py a policy for generation
- service.py       the same over gRPC
"""
