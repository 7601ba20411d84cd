"""The steps, in this order: tests, engine, throughput, training, reconstruction; each has a `measure(context)`."""
