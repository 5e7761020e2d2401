ARG NODE=node:24-slim
ARG PYTHON=python:3.14-slim

# --- the front end ------------------------------------------------------------------------------
FROM ${NODE} AS bundle
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,id=npm,target=/cache npm ci --cache /cache --ignore-scripts --no-audit --no-fund
COPY service/assets service/assets
RUN npm run build

# --- the locked dependencies ---------------------------------------------------------------------
FROM ${PYTHON} AS environment
ARG UV=0.13.8
RUN pip install --no-cache-dir uv==${UV}
WORKDIR /app
# Bytecode is compiled here, since the root filesystem is read-only: 30 MB, and imports take 0.7 s instead of 1.7 s.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON=/usr/local/bin/python UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
COPY mainstay/pyproject.toml mainstay/pyproject.toml
# Removed, 34 MB: translation sources, and botocore's data of all services except storage and authentication.
RUN --mount=type=cache,id=uv,target=/cache uv sync --cache-dir /cache --frozen --no-default-groups --no-install-workspace \
    && find .venv -name '*.po' -delete \
    && find .venv/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name sts ! -name 'sso*' -exec rm -r {} +

# --- django-mainstay, in a layer apart from the dependencies -----------------------------------------
FROM environment AS package
COPY mainstay mainstay
RUN --mount=type=cache,id=uv,target=/cache uv pip install --cache-dir /cache --no-deps --target /package ./mainstay \
    && rm /package/.lock

# --- the code and its static files, compressed with brotli ----------------------------------------
FROM environment AS code
RUN --mount=type=cache,id=uv,target=/cache uv sync --cache-dir /cache --frozen --no-default-groups --no-install-workspace --group build
COPY --from=package /package ./
COPY manage.py ./
COPY service service
COPY --from=bundle /app/service/assets/dist service/assets/dist
# The settings require these variables. None is used, and none is stored in the image.
RUN export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" DJANGO_ALLOWED_HOSTS=localhost \
        DATABASE_URL=postgres://localhost/none REDIS_URL=redis://localhost \
    && .venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && test -s static/staticfiles.json && ls static/*.js.br static/*.js.gz static/admin/css/*.css.br > /dev/null \
    && .venv/bin/python -m compileall -q service

# --- the base of both images ----------------------------------------------------------------------
FROM ${PYTHON} AS runtime
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH HOME=/tmp PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
CMD ["gunicorn", "--config", "python:mainstay.gunicorn", "service.wsgi:application"]

# --- the image of `skaffold dev`: reload, a debugger, esbuild without Node --------------------------
FROM environment AS dev-environment
RUN --mount=type=cache,id=uv,target=/cache uv sync --cache-dir /cache --frozen --no-default-groups --no-install-workspace --group loop

FROM bundle AS dev-bundle
RUN mv node_modules/@esbuild/*/bin/esbuild node_modules/.bin/esbuild \
    && printf '#!/bin/sh\nexec node_modules/.bin/%s\n' "$(npm pkg get scripts.build | tr -d '"')" > node_modules/.bin/bundle \
    && chmod +x node_modules/.bin/bundle && mkdir static

FROM runtime AS dev
COPY --from=dev-environment /app/.venv .venv
COPY --from=dev-bundle /app/node_modules node_modules
COPY --from=dev-bundle /app/static static
COPY --from=package /package ./
COPY manage.py ./
# Each pod copies these to a volume at /app/service (k8s/values/skaffold-dev.yaml).
COPY service original
COPY --from=dev-bundle /app/service/assets/dist original/assets/dist

# --- the production image -------------------------------------------------------------------------
FROM runtime
COPY --from=environment /app/.venv .venv
COPY --from=package /package ./
COPY --from=code /app/manage.py ./
COPY --from=code /app/static static
COPY --from=code /app/service service
