"""Fifth step: the potential of one large image."""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu.context import Context
from benchmarks.gpu.layout import RESULTS, TRAINED
from benchmarks.gpu.results import read_json
from benchmarks.gpu.samples import rendered_split
from benchmarks.gpu.steps.training import SHIPPED, trained_network
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.weights import load_weights
from iphasenet.reconstruction.tiled_prediction import Tiling, predict_large
from iphasenet.simulation.image import Image

_WARM_UP = 512
"""Side of the part of the image that sets libraries up for the tiles of the whole [pixels]."""


def measure(context: Context) -> None:
    """Reconstruct with the network that was trained, if one was, and with a shipped one."""
    networks, packed = _networks(context), replace(context.packed, materials=context.packed.materials[:1])
    for name, network in networks.items():
        network.to(context.device)
        image = Image(context.sizes.reconstructed, network.sampling)
        data = rendered_split(packed, "test", image, 1)[0]
        segments, metadata, truth = data.noisy_segments[0, 0], data.metadata[0], data.potential[0]
        for turns, batch in ((1, 4), (1, 64), (4, 64)):
            tiling = Tiling(batch=batch)
            known = {"network": name, "pixels": f"{image.pixels} x {image.pixels}", "turns": turns}
            with context.row("Reconstruction", **known, **{"tiles together": batch}) as row:
                row["tiles"] = turns * tiling.count(truth.shape)
                predict_large(network, segments[:, :_WARM_UP, :_WARM_UP], metadata, 1, tiling)
                context.synchronise()
                started = time.perf_counter()
                # What it gives lies in the host's memory, which waits for the GPU.
                found, _ = predict_large(network, segments, metadata, turns, tiling)
                row["seconds"], row["memory [GB]"] = time.perf_counter() - started, context.peak()
                row["Pearson"] = float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def _networks(context: Context) -> dict[str, PotentialNetwork]:
    """Networks by their names."""
    found: dict[str, PotentialNetwork] = {}
    steps: dict[str, Any] = read_json(context.output / RESULTS).get("steps", {})
    kept = steps.get("training", {}).get("facts", {}).get("weights")
    if kept:
        network, _ = trained_network(context, kept)
        found[f"{TRAINED}, feature size {network.settings.feature_size}"] = network
    found["shipped"] = load_weights(SHIPPED / "laptop.safetensors")[0]
    return found
