from iphasenet.base.job_log import library_versions, stage
from iphasenet.dataset.writer import assemble

with stage("data set", snakemake.log[0], snakemake.output) as log:
    stores = dict(zip(snakemake.params.materials, snakemake.input.materials, strict=True))
    assemble(
        snakemake.output.store,
        stores,
        {
            "title": "Simulated four-quadrant STEM images and projected potentials",
            "licence": "CC-BY-4.0",
            "configuration": snakemake.params.configuration,
            "versions": library_versions(),
        },
    )
    log.info("materials: %s", ", ".join(stores))
