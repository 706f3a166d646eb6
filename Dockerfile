# docker build -t gfedge .                            for the CPU
# docker build -t gfedge:cuda --build-arg CUDA=1 .    with CUDA 13 and cuDNN 9 (2.6 GB more; the host gives the driver)
# docker run -d --name gfedge -p 8000:8000 -v gfedge:/data --read-only --tmpfs /tmp gfedge      (--gpus all for CUDA)
# docker exec gfedge cat /data/admin-token            what the first client needs; docker-compose.yml wires the rest
# tools/docker/pin.sh prints the base with its digest, for --build-arg PYTHON=python:3.13-slim@sha256:...; RELEASE=1 takes no other.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ARG PYTHON
ARG RELEASE=
RUN if [ -n "$RELEASE" ]; then case "$PYTHON" in \
      *@sha256:*) ;; \
      *) echo "a release is built from a base with its digest, not from $PYTHON: tools/docker/pin.sh" >&2; exit 1 ;; \
    esac; fi
ARG CUDA=
WORKDIR /src
ENV PATH=/opt/gfedge/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/gfedge
COPY requirements.lock requirements-cpu.lock ./
# The CUDA libraries fit the locked onnxruntime-gpu; everything else stays as it is in the lock.
RUN if [ -z "$CUDA" ]; then \
      pip install --require-hashes --requirement requirements-cpu.lock; \
    else \
      pip install --require-hashes --requirement requirements.lock \
      && pip freeze --all --exclude pip > /tmp/locked.txt \
      && pip install --constraint /tmp/locked.txt "onnxruntime-gpu[cuda,cudnn]"; \
    fi
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY gfedge ./gfedge
COPY models ./models
RUN pip install --no-deps --no-build-isolation . \
    && python -m compileall -q /opt/gfedge/lib \
    && gfedge --version

FROM ${PYTHON}
LABEL org.opencontainers.image.title="gfedge" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --no-create-home --user-group --uid 10001 --home-dir /data --shell /usr/sbin/nologin gfedge \
    && install -d -o gfedge -g gfedge /data /tokens
COPY --from=build /opt/gfedge /opt/gfedge
COPY LICENSE NOTICE /opt/gfedge/
# hadolint ignore=DL3064
ENV PATH=/opt/gfedge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GFEDGE_HOST=0.0.0.0 \
    GFEDGE_PORT=8000 \
    GFEDGE_DATA=/data \
    GFEDGE_ADMIN_TOKEN_FILE=/data/admin-token \
    GFEDGE_LOG_FORMAT=json \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["gfedge", "health"]
ENTRYPOINT ["gfedge"]
CMD ["serve"]
