from pathlib import Path

from iphasenet.baselines import fit_baselines
from iphasenet.dataset import read_split
from iphasenet.devices import use_threads
from iphasenet.sampling import LeftOut
from iphasenet.stage import stage

with use_threads(1), stage("baselines", snakemake.log[0], snakemake.output):
    left_out = LeftOut(**snakemake.params.leave_out)
    training = read_split(snakemake.input.dataset, "train", stream=True, left_out=left_out)
    fit_baselines(training).save(Path(snakemake.output.baselines))
