"""Run by torchrun: one real training that leaves the gradients of its first step in a file."""

import json
import sys
from pathlib import Path

import torch

from iphasenet.training import train
from iphasenet.training.module import Training


def keep_gradients(module: Training) -> None:
    if module.global_step == 0 and module.global_rank == 0:
        gradients = {name: weight.grad.clone() for name, weight in module.named_parameters() if weight.grad is not None}
        torch.save(gradients, Path(sys.argv[1]))


Training.on_after_backward = keep_gradients
train.main(json.loads(sys.argv[2]))
