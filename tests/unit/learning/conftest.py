"""What all tests of the learning room share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on several threads."""
    torch.set_num_threads(1)
