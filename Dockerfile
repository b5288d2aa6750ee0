# The shop: one image for web, worker, beat and migration. `docker-compose.yml` starts it in its roles.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /srv/shop
COPY requirements.txt .
RUN python -m venv /srv/venv \
    && /srv/venv/bin/pip install --require-hashes --requirement requirements.txt
COPY . .
# This key signs nothing: settings need one, and only static files are collected.
RUN SECRET_KEY=of-the-build VAR_DIR=/srv/var /srv/venv/bin/python manage.py prepare --static \
    && /srv/venv/bin/python -m compileall -q . /srv/venv/lib

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 shop \
    && useradd --uid 10001 --gid shop --no-create-home --home-dir /nonexistent shop \
    && install --directory --owner shop --group shop /srv/var/media
COPY --from=build /srv/venv /srv/venv
COPY --from=build /srv/var /srv/var
COPY --from=build /srv/shop /srv/shop
WORKDIR /srv/shop
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VAR_DIR=/srv/var \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
EXPOSE 8000
# For the role web; the other roles have no HTTP. The proxy resolves new web processes every second, so it knows
# a container before the first check passes.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "tools/probe.py", "/livez"]
CMD ["python", "-m", "flashsale.web"]
