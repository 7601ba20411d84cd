from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.dataset.upload import upload

with stage("upload of the data set", snakemake.log[0], snakemake.output) as log:
    record = upload(Path(snakemake.input.dataset), snakemake.params.url)
    record.save(snakemake.output.record)
    log.info("%d files, %d bytes in %s", record.files, record.bytes, record.url)
