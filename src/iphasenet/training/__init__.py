"""Training: from a data set to weights.

In: `dataset.material_data.MaterialData` or periodic images, and `settings.TrainingSettings`. Out: weights with a header
that says what they were trained on (`trained_on`, `seen`). `crops` cuts crops and adds noise, `module` holds losses and
steps, `fit` runs Lightning, and `python -m iphasenet.training.train` is one training process.
"""
