"""The learning room: graded rollouts in, new policy out.

advantages.py    rewards to advantages: GAE as ReFT has it, and the group estimators
losses.py        the clipped losses of PPO
ppo.py           one update: the whole of PPO's mathematics, top to bottom
warm_up.py       one supervised step
policy.py        the model, its value head, its log-probabilities, fast
batches.py       token sequences to micro-batches
optimizer.py     AdamW, learning rates, gradient clipping
nano.py          a small base model made from nothing
learner.py       what is held between calls: weights, reference, optimiser, counters
checkpoints.py   all of that to files and back
service.py       the same over gRPC
"""
