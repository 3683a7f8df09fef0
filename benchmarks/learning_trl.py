"""TRL's GRPOTrainer as a peer of `benchmarks.learning`; imported only where TRL is installed, which we never need.

pip install trl        (into an environment of its own, for it brings much along)
"""

import tempfile
from collections.abc import Sequence

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

from pinetune.learning.advantages import Evidence, grpo
from pinetune.learning.optimizer import make_optimizer, take_step
from pinetune.learning.policy import Policy
from pinetune.learning.ppo import Trajectory, TrajectoryTensors
from pinetune.learning.settings import UpdateSettings


class Trl:
    """One GRPO step with TRL's reference pass, loss and gradients; the optimiser is ours."""

    name = "TRL"

    def __init__(
        self,
        model: PreTrainedModel,
        settings: UpdateSettings,
        trajectories: Sequence[Trajectory],
        sample_count: int,
        max_tokens: int,
    ) -> None:
        longest = max(len(t.prompt_token_ids) for t in trajectories) + max(len(t.token_ids) for t in trajectories)
        # Equal parts, since TRL averages over the parts of an accumulated gradient.
        rows = next(n for n in range(max(1, max_tokens // longest), 0, -1) if len(trajectories) % n == 0)
        self._settings = settings
        self._parts = [trajectories[start : start + rows] for start in range(0, len(trajectories), rows)]
        self._tensors = TrajectoryTensors.of(trajectories, torch.device("cpu"))
        self._rows = rows
        self._folder = tempfile.TemporaryDirectory()
        vocabulary = {f"w{number}": number for number in range(model.config.vocab_size)}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="w0")), eos_token="w0", pad_token="w1"
        )
        # TRL makes its reference model from the folder that the model came from.
        model.save_pretrained(self._folder.name)
        self._trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(self._folder.name),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                output_dir=self._folder.name,
                per_device_train_batch_size=rows,
                gradient_accumulation_steps=len(self._parts),
                num_generations=sample_count,
                beta=settings.kl_coefficient,
                epsilon=settings.clip_range,
                loss_type="grpo",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to=[],
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w2"] * len(trajectories)}),
            processing_class=tokenizer,
        )
        self._trainer.current_gradient_accumulation_steps = len(self._parts)
        self.policy = Policy(self._trainer.model)
        self._trainer.model.train()
        self._optimizer = make_optimizer(self.policy.parameters(), settings.optimizer)

    def step(self) -> None:
        """Update once."""
        tensors = self._tensors
        nothing_BT = torch.zeros_like(tensors.sampled_logprobs_BT)
        evidence = Evidence(
            tensors.rewards_B, tensors.groups_B, tensors.mask_BT, tensors.mask_BT, nothing_BT, nothing_BT
        )
        advantages_B = grpo(evidence, self._settings).advantages_BT[:, 0]
        for index, part in enumerate(self._parts):
            inputs = padded(part)
            inputs["advantages"] = advantages_B[index * self._rows : index * self._rows + len(part)]
            ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
            mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
            with torch.no_grad():
                inputs["ref_per_token_logps"] = self._trainer._get_per_token_logps_and_entropies(
                    self._trainer.ref_model, ids, mask, inputs["completion_ids"].shape[1]
                )[0]
            self._trainer.compute_loss(self._trainer.model, inputs).backward()
        take_step(self._optimizer, self._settings.optimizer.learning_rate, self._settings.optimizer.max_gradient_norm)


def padded(part: Sequence[Trajectory]) -> dict[str, torch.Tensor]:
    """Return TRL's inputs: prompts padded at the left, completions at the right."""
    widths = max(len(t.prompt_token_ids) for t in part), max(len(t.token_ids) for t in part)
    inputs = {
        name: torch.zeros(len(part), width, dtype=torch.long)
        for kind, width in zip(("prompt", "completion"), widths, strict=True)
        for name in (f"{kind}_ids", f"{kind}_mask")
    }
    inputs["old_per_token_logps"] = torch.zeros(len(part), widths[1])
    for row, t in enumerate(part):
        inputs["prompt_ids"][row, widths[0] - len(t.prompt_token_ids) :] = torch.tensor(t.prompt_token_ids)
        inputs["prompt_mask"][row, widths[0] - len(t.prompt_token_ids) :] = 1
        inputs["completion_ids"][row, : len(t.token_ids)] = torch.tensor(t.token_ids)
        inputs["completion_mask"][row, : len(t.token_ids)] = 1
        inputs["old_per_token_logps"][row, : len(t.token_ids)] = torch.tensor(t.logprobs)
    return inputs
