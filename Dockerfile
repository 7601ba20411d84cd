# Everything that the rules import, and Snakemake: docs/containers.md. Written without a container engine at hand, and so
# never built where it was written.
FROM python:3.11-slim-bookworm AS build

# A further index of wheels, where another build of torch is wanted than PyPI's, which holds CUDA.
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/iphasenet/bin:$PATH

WORKDIR /build
RUN python -m venv /opt/iphasenet
# The lock first: a change of the library alone installs nothing else again.
COPY requirements.lock ./
RUN python -m pip install --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip install --no-deps .

FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="iphasenet" \
      org.opencontainers.image.licenses="MIT"

COPY --from=build /opt/iphasenet /opt/iphasenet
# Caches that any user may write, also one without a home.
ENV PATH=/opt/iphasenet/bin:$PATH \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1

RUN useradd --uid 1000 --no-create-home --home-dir /tmp iphasenet
USER iphasenet
# Where a clone of the repository is mounted.
WORKDIR /workflow
ENTRYPOINT ["snakemake"]
CMD ["--help"]
