"""One command for a GPU: a folder that measures and trains on a machine that has little installed and no network.

`python -m benchmarks.gpu --pack FOLDER` writes it here, `bash FOLDER/run.sh` runs it there, `python -m benchmarks.gpu
--unpack FOLDER/results` puts the results into the documentation and resources/models. See docs/benchmarks.md.
"""
