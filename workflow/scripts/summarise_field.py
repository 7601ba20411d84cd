from pathlib import Path

import pandas

from iphasenet.base.files import write_table
from iphasenet.base.job_log import stage
from iphasenet.base.tables import read_table
from iphasenet.field_test.pictures import draw_pictures, failures, gallery_images, load_picture, shown_images
from iphasenet.field_test.tables import (
    condition_table,
    defect_table,
    estimate_table,
    picture_title,
    summary_table,
    unusable_table,
)

output = snakemake.output

with stage("summary of the field test", snakemake.log[0], output) as log:
    scores = pandas.concat([read_table(path) for path in snakemake.input.scores], ignore_index=True)
    write_table(scores, Path(output.scores))
    write_table(summary_table(scores), Path(output.summary))
    write_table(condition_table(scores), Path(output.conditions))
    write_table(estimate_table(scores), Path(output.estimates))
    write_table(defect_table(scores), Path(output.defects))
    write_table(unusable_table(scores), Path(output.unusable))
    folder = {Path(path).stem: Path(path) for path in snakemake.input.pictures}
    for drawn, names in (
        (output.pictures, shown_images(scores)),
        (output.gallery, gallery_images(scores)),
        (output.failures, failures(scores)),
    ):
        pictures = {}
        for image in names:
            specimen, _, number = image.rpartition("-")
            pictures[image] = load_picture(folder[specimen], int(number))
        titles = {image: picture_title(scores, image) for image in names}
        draw_pictures(pictures, titles, [Path(drawn)])
    log.info("%d images", scores["image"].nunique())
