"""Fifth step: the potential of one large image."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.context import Context
from benchmarks.gpu.layout import RESULTS
from benchmarks.gpu.pieces import joined
from benchmarks.gpu.results import read_json
from benchmarks.gpu.samples import rendered_split
from benchmarks.gpu.steps.training import SHIPPED
from iphasenet.model import PotentialNetwork
from iphasenet.reconstruction.tiled_prediction import Tiling, predict_large
from iphasenet.render import Image
from iphasenet.weights import load_weights


def measure(context: Context) -> None:
    """Reconstruct with the network that was trained, if one was, and with the shipped one."""
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
                started = time.perf_counter()
                found, _ = predict_large(network, segments, metadata, turns, tiling)
                row["seconds"], row["memory [GB]"] = time.perf_counter() - started, context.peak()
                row["Pearson"] = float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def _networks(context: Context) -> dict[str, PotentialNetwork]:
    """Networks by their names."""
    found: dict[str, PotentialNetwork] = {}
    steps: dict[str, Any] = read_json(context.output / RESULTS).get("steps", {})
    kept = steps.get("training", {}).get("facts", {}).get("weights")
    if kept:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            path.write_bytes(joined(context.output, kept))
            network, _ = load_weights(path)
            found[f"trained, feature size {network.settings.feature_size}"] = network
    found["shipped"] = load_weights(SHIPPED)[0]
    return found
