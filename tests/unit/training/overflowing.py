"""Run by torchrun: one real training whose second step has a loss that is no number."""

import json
import sys
from typing import Any

from torch import Tensor

from iphasenet.training import train
from iphasenet.training.module import Training

finite = Training.loss


def overflow(module: Training, *arguments: Any) -> Tensor:
    return finite(module, *arguments) * (float("inf") if module.global_step == 1 else 1)


Training.loss = overflow
train.main(json.loads(sys.argv[1]))
