"""What training does not see."""

from pathlib import Path

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.dataset.reader import read_split
from iphasenet.simulation.grid import LeftOut
from tests.unit.dataset.test_reader import make


def test_training_reads_all_but_what_is_left_out(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    whole = {data.material: data for data in read_split(dataset, "train")}
    thin = list(read_split(dataset, "train", left_out=LeftOut(thickness_nm=(40,))))
    assert [data.material for data in thin] == ["GaN", "MoS2"]
    for data in thin:
        rows = np.flatnonzero(whole[data.material].coordinates["thickness_nm"] == 20)
        np.testing.assert_array_equal(data.potential, whole[data.material].potential[rows])
    assert [data.material for data in read_split(dataset, "train", left_out=LeftOut(("GaN",)))] == ["MoS2"]


def test_leaving_out_what_is_not_there_or_everything_is_refused(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    for left_out, named in (
        (LeftOut(("Si",)), "Si"),
        (LeftOut(("GaN", "MoS2")), "found all materials"),
        (LeftOut((), (20, 40)), "empty"),
    ):
        with pytest.raises(InputError, match=named):
            list(read_split(dataset, "train", left_out=left_out))
