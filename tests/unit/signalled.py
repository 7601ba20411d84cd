"""Run by torchrun: one real training that is sent SIGTERM while it computes a given step."""

import json
import os
import signal
import sys
from typing import Any

from iphasenet import train
from iphasenet.training import Training


def send_signal(module: Training, *_batch: Any) -> None:
    if module.global_step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGTERM)


Training.on_train_batch_start = send_signal
train.main(json.loads(sys.argv[2]))
