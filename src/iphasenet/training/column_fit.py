"""Training of the network for any crystal: reads simulations, writes checkpoints, history and weights.

torchrun --standalone --nproc-per-node=2 -m iphasenet.training.column_fit --help
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import lightning

from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.marks import HISTORY, WEIGHTS
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.weights import load_column_weights, save_column_weights
from iphasenet.training.callbacks import FiniteLosses
from iphasenet.training.checkpoints import Provenance
from iphasenet.training.column_data import ColumnData, ColumnPlan
from iphasenet.training.column_training import ColumnTrainer
from iphasenet.training.fit import started
from iphasenet.training.history import read_history
from iphasenet.training.process import is_first, training_process
from iphasenet.training.trained_on import run_identity
from iphasenet.training.trainer import make_trainer


def fit_columns(plan: ColumnPlan, weights: Path, history: Path, checkpoints: Path, accelerator: str = "auto") -> None:
    """
    Train, or resume a training, and write the weights of the best epoch on crystals that are not trained on.

    Parameters
    ----------
    plan : ColumnPlan
        Data and settings.
    weights, history, checkpoints : path
        As in `iphasenet.training.fit.Outputs`.
    accelerator : str
        Lightning's accelerator: 'auto' uses GPUs if there are any, 'cpu' does not use them.
    """
    settings = plan.settings
    training = settings.training
    lightning.seed_everything(training.seed, verbose=False)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    data = ColumnData.of(plan)
    splits = data.splits(processes)
    module = ColumnTrainer(settings.model, training, plan.sampling, splits.steps, plan.energy_kev)
    start = None if training.start is None else Path(training.start)
    if start is not None:
        _begin_with(module.network, start)
    described = data.described(start)
    folder = checkpoints / run_identity(described)
    provenance = Provenance(described)
    with started(folder, None, provenance) as checkpoint:
        trainer, best = make_trainer(folder, training, accelerator, [provenance, FiniteLosses(data.names)])
        trainer.strategy.setup_environment()
        trainer.fit(module, splits, ckpt_path=trainer.strategy.broadcast(checkpoint), weights_only=True)
        if trainer.is_global_zero:
            state, score = best.read()
            module.load_state_dict(state)
            data.calibrate(module.network)
            write_table(read_history(folder), history)
            known = {"ranges": data.ranges(), "validation_pearson": score}
            save_column_weights(weights, module.network, {**described, **known})


def _begin_with(network: ColumnNetwork, weights: Path) -> None:
    """Take the weights of an earlier training; InputError if they are of another architecture, pixel or energy."""
    earlier, _ = load_column_weights(weights)
    now, then = ((one.settings, one.sampling, one.energy_kev) for one in (network, earlier))
    if now != then:
        raise InputError(
            f"column_network.training.start: found {weights} with {then[0]}, {then[1]:g} Å per pixel, {then[2]:g} keV; "
            f"allowed: those of this run, {now[0]}, {now[1]:g} Å per pixel, {now[2]:g} keV"
        )
    network.load_state_dict(earlier.state_dict())


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of a training process."""
    parser = argparse.ArgumentParser(
        prog="iphasenet.training.column_fit", description="Train the network for any crystal on simulations."
    )
    parser.add_argument("--plan", type=Path, required=True, help="JSON: configuration, and split of each material")
    parser.add_argument("--data", type=Path, required=True, help="folder of the simulations: potential and images")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file to be made")
    parser.add_argument("--history", type=Path, required=True, help="CSV file of losses and metrics to be made")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints, which stay after a run")
    parser.add_argument("--accelerator", choices=("auto", "cpu"), default="auto", help="auto uses GPUs, cpu does not")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads of all processes on this machine, 1 if not given"
    )
    options = parser.parse_args(arguments)
    with training_process(options.threads):
        if is_first():
            asked = (
                Output("--weights", options.weights, WEIGHTS, (".safetensors",), folder=False),
                Output("--history", options.history, HISTORY, (".csv",), folder=False),
                Output("--checkpoints", options.checkpoints, folder=True, added=True),
            )
            check_outputs(asked, [options.plan, options.data / "potential", options.data / "images"])
        plan = ColumnPlan.load(options.plan, options.data)
        fit_columns(plan, options.weights, options.history, options.checkpoints, options.accelerator)


if __name__ == "__main__":
    main()
