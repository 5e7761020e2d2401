"""An image that knows nothing of this chart."""

from tests.cluster.cluster import Release, image, stylesheet

# What `django-admin startproject` makes needs these of every host: who may ask, and where the database is.
DOCKERFILE = """
RUN pip install --no-cache-dir django gunicorn psycopg2-binary dj-database-url
WORKDIR /site
RUN django-admin startproject plain . && printf '%s\\n' 'import os, dj_database_url' \
    'DEBUG = False' 'SECRET_KEY = os.environ["SECRET_KEY"]' \
    'ALLOWED_HOSTS = os.environ["DJANGO_ALLOWED_HOSTS"].split(",")' \
    'DATABASES = {"default": dj_database_url.config()}' 'STATIC_ROOT = "/site/static"' \
    'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")' >> plain/settings.py \
    && SECRET_KEY=x DJANGO_ALLOWED_HOSTS=x python manage.py collectstatic --noinput
"""


def test_plain_project_runs_by_values_alone(empty: Release) -> None:
    tag = image("plain", DOCKERFILE, base="python:3.14-slim")
    wait = ["sh", "-c", "until python manage.py migrate --check; do sleep 1; done"]

    empty.install(
        image__tag=tag,
        web__command=["gunicorn", "--bind", "unix:/run/gunicorn/gunicorn.sock", "plain.wsgi"],
        web__health={"port": 8080, "live": "", "ready": "/admin/login/", "startup": "/admin/login/"},
        migrations__waitCommand=wait,
        static__path="/site/static",
        media__mode="none",
        metrics__enabled=False,
        worker__enabled=False,
        beat__enabled=False,
        valkey__mode="none",
        superuser__enabled=True,
    )

    assert empty.restarts("web") == 0
    session = empty.session()
    page = session.get(f"{empty.url}/admin/login/")
    assert page.status_code == 200
    assert session.get(empty.url + stylesheet(page.text)).headers["Content-Type"] == "text/css"
    empty.kubectl(
        "wait",
        "job",
        "--selector=app.kubernetes.io/component=superuser",
        "--for=condition=Complete",
        "--timeout=60s",
    )
    empty.post(session, "/admin/login/", {"username": "admin", "password": empty.secret("DJANGO_SUPERUSER_PASSWORD")})
    assert "Site administration" in session.get(f"{empty.url}/admin/").text
