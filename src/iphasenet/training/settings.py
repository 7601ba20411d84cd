"""How a network is trained, checked before anything runs: this module needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import THICKNESS, Quantity, check_choices, check_number
from iphasenet.simulation.grid import LeftOut

TERMS = ("l1", "l2", "gradient_l1", "spectral_l1")
"""Terms of the loss that train the mean potential; `spread` trains the uncertainty alone."""

_COUNT = Quantity("", 1, 100_000, whole=True)
_NUMBERS = {
    "seed": Quantity("", 0, 2**32 - 1, whole=True),
    "epochs": _COUNT,
    "crops_per_sample": _COUNT,
    "crop_pixels": Quantity("", 64, 16_384, whole=True),
    "batch_size": _COUNT,
    "learning_rate": Quantity("", 0, 1, above=True),
    "weight_decay": Quantity("", 0, 10),
    "output_scale_v": Quantity("V", 0, 1e5, above=True),
    "ema_decay": Quantity("", 0, 1),
    "patience": Quantity("", 0, 100_000, whole=True),
}
_LOSS_WEIGHT = Quantity("", 0, 1000)


@dataclass(frozen=True)
class TrainingSettings:
    """
    How a network is trained.

    Attributes
    ----------
    seed : int
        Seed of weights, crops and noise.
    epochs : int
        Passes over the training split.
    crops_per_sample : int
        Random crops of each sample in an epoch.
    crop_pixels : int
        Side of a crop: a multiple of 32, at least 64.
    batch_size : int
        Crops in a step, over all processes.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises over the first twentieth of the steps and falls as a cosine.
    loss : mapping
        Weights of `iphasenet.network.losses.training_loss`.
    relative_loss : bool
        Errors of each crop over the standard deviation of its truth, in place of `output_scale_v`: thick tilted
        crystals of little contrast count as much as thin ones.
    output_scale_v : float
        Mean potential that a network output of 1 stands for [V].
    augmentation : {'none', 'turns', 'symmetry'}
        Quarter turns of image, detector and crystal, without or with mirrors (`iphasenet.network.symmetry`).
    ema_decay : float
        Of the exponential moving average of the weights, which is validated and kept; 0 is none.
    patience : int
        Epochs without a better validation after which training stops; 0 is never.
    source : {'stored', 'rendered'}
        Crops of the stored samples, or rendered from the simulations at a new place and rotation every time.
    precision : {'32-true', 'bf16-mixed'}
        Lightning's precision.
    leave_out : mapping
        `materials` and `thickness_nm` that training and the choice of the epoch do not see.
    """

    seed: int
    epochs: int
    crops_per_sample: int
    crop_pixels: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    loss: Mapping[str, float]
    relative_loss: bool
    output_scale_v: float
    augmentation: Literal["none", "turns", "symmetry"]
    ema_decay: float
    patience: int
    source: Literal["stored", "rendered"]
    precision: Literal["32-true", "bf16-mixed"]
    leave_out: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, quantity in _NUMBERS.items():
            check_number(getattr(self, name), f"training.{name}", quantity)
        if self.ema_decay == 1:
            raise InputError("training.ema_decay: found 1, which keeps the first weights; allowed: 0 to less than 1")
        check_choices(self, "training")
        # The coarsest stage is 32 times smaller, and an instance norm needs more than one pixel there.
        if self.crop_pixels % 32 or self.crop_pixels < 64:
            raise InputError(f"training.crop_pixels: found {self.crop_pixels}; allowed: 64, 96, 128, ...")
        self._check_loss()
        for thickness in self.leave_out.get("thickness_nm", ()):
            check_number(thickness, "training.leave_out.thickness_nm", THICKNESS)

    def _check_loss(self) -> None:
        terms = (*TERMS, "spread")
        if not isinstance(self.loss, Mapping) or set(self.loss) != set(terms):
            raise InputError(f"training.loss: found {self.loss}; allowed: a weight of each of {', '.join(terms)}")
        for term in terms:
            check_number(self.loss[term], f"training.loss.{term}", _LOSS_WEIGHT)
        if not any(self.loss[term] for term in TERMS):
            raise InputError(
                f"training.loss: found {dict(self.loss)}; allowed: at least one weight of {', '.join(TERMS)} above 0"
            )

    @property
    def left_out(self) -> LeftOut:
        """What `leave_out` says."""
        return LeftOut(*(tuple(self.leave_out.get(name, ())) for name in ("materials", "thickness_nm")))

    def check_image(self, pixels: int) -> None:
        """Refuse crops larger than images of `pixels`."""
        if self.crop_pixels > pixels:
            raise InputError(f"training.crop_pixels: found {self.crop_pixels}; allowed: at most image.pixels, {pixels}")

    def check_processes(self, processes: int, norm: str) -> None:
        """Refuse what makes several processes train another network than one with the same batch."""
        if processes > 1 and norm == "batch":
            raise InputError(
                f"model.norm: found 'batch' with {processes} training processes, each of which would have the "
                "statistics of its share of a batch; allowed: instance, group"
            )
        if self.batch_size % processes:
            raise InputError(
                f"training.batch_size: found {self.batch_size}; allowed: a multiple of {processes} processes"
            )
