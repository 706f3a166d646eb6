# docker build -t gfedge .                            for the CPU
# docker build -t gfedge:cuda --build-arg CUDA=1 .    with CUDA 13 and cuDNN 9 (2.6 GB more; the host gives the driver)
# docker run -p 8000:8000 -v gfedge:/data gfedge      add --gpus all for CUDA, --read-only --tmpfs /tmp to lock it down
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
ARG CUDA=
WORKDIR /src
RUN python -m venv /opt/gfedge
ENV PATH=/opt/gfedge/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock pyproject.toml ./
RUN pip install --require-hashes --requirement requirements.lock
# The CUDA libraries fit the locked onnxruntime-gpu; everything else stays as it is in the lock.
RUN if [ -n "$CUDA" ]; then \
      pip freeze --all --exclude pip > /tmp/locked.txt \
      && pip install --constraint /tmp/locked.txt "onnxruntime-gpu[cuda,cudnn]"; \
    fi
COPY README.md ./
COPY gfedge ./gfedge
RUN pip install --no-deps --no-build-isolation . \
    && python -m compileall -q /opt/gfedge/lib \
    && gfedge --version

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="gfedge" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --user-group --uid 10001 --home-dir /data --shell /usr/sbin/nologin gfedge \
    && install -d -o gfedge -g gfedge /data
COPY --from=build /opt/gfedge /opt/gfedge
COPY models /opt/gfedge/models
ENV PATH=/opt/gfedge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GFEDGE_HOST=0.0.0.0 \
    GFEDGE_PORT=8000 \
    GFEDGE_DATA=/data \
    GFEDGE_MODELS=/opt/gfedge/models \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['GFEDGE_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["gfedge"]
CMD ["serve"]
