from pathlib import Path

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.files import write_table
from iphasenet.base.job_log import stage
from iphasenet.evaluation.column_scores import ColumnTest, score_plan, summarise_columns
from iphasenet.network.weights import load_column_weights
from iphasenet.simulation.image import Image
from iphasenet.training.column_data import ColumnPlan

params, output = snakemake.params, snakemake.output

with use_threads(snakemake.threads), stage("test on unseen crystals", snakemake.log[0], output) as log:
    plan = ColumnPlan.load(Path(snakemake.input.plan), Path(params.data))
    network, _ = load_column_weights(snakemake.input.weights)
    image = Image(plan.settings.training.crop_pixels, plan.sampling)
    test = ColumnTest(image, plan.acquisition, params.doses, params.seed)
    scores = score_plan(network, plan, test, choose_device(snakemake.config["simulation"]["device"]))
    write_table(scores, Path(output.scores))
    write_table(summarise_columns(scores, ("seen", "told", "dose", "thickness_nm")), Path(output.summary))
    write_table(summarise_columns(scores, ("seen", "material", "told", "dose")), Path(output.crystals))
    log.info("%d images of %d crystals", len(scores), scores["material"].nunique())
