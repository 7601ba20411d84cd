from pathlib import Path

from iphasenet.base.devices import use_threads
from iphasenet.base.job_log import stage
from iphasenet.dataset.reader import read_split
from iphasenet.evaluation.baselines import fit_baselines
from iphasenet.simulation.grid import LeftOut

with use_threads(1), stage("baselines", snakemake.log[0], snakemake.output):
    left_out = LeftOut(**snakemake.params.leave_out)
    training = read_split(snakemake.input.dataset, "train", stream=True, left_out=left_out)
    fit_baselines(training).save(Path(snakemake.output.baselines))
