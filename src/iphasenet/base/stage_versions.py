"""A number of each stage of the workflow, part of its rules' parameters."""

STAGE_VERSIONS = {
    "potential": 3,
    "images": 4,
    "slabs": 5,
    "samples": 10,
    "dataset": 4,
    "card": 1,
    "model": 5,
    "model_card": 1,
    "columns": 3,
    "column_scores": 2,
    "predictions": 7,
    "evaluation": 6,
    "report": 5,
    "reconstruction": 6,
    "field_images": 1,
    "field_fits": 1,
    "field_ways": 1,
}
"""Part of each rule's parameters: raise a number when the library's change must remake that stage's outputs."""
