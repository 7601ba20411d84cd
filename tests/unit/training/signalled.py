"""Run by itself or torchrun: one real training that is sent a signal while it computes a given step."""

import json
import os
import sys
from typing import Any

from iphasenet.training import train
from iphasenet.training.module import Training


def send_signal(module: Training, *_batch: Any) -> None:
    if module.global_step == int(sys.argv[1]):
        os.kill(os.getpid(), int(sys.argv[3]))


Training.on_train_batch_start = send_signal
train.main(json.loads(sys.argv[2]))
