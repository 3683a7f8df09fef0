"""pinetune: reinforcement fine-tuning on your own cluster."""
