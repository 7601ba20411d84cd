from pathlib import Path

from iphasenet.stage import stage
from iphasenet.upload import upload

with stage("upload of the data set", snakemake.log[0], snakemake.output) as log:
    record = upload(Path(snakemake.input.dataset), snakemake.params.url)
    record.save(snakemake.output.record)
    log.info("%d files, %d bytes in %s", record.files, record.bytes, record.url)
