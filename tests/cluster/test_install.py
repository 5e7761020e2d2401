"""A release after `helm install`."""

import io
import json
import re

import pytest
from PIL import Image

from tests.support.cluster import MAIL_TIMEOUT, TAG, Release, run, stylesheet, wait_until


def test_fresh_install_is_ready_within_a_minute_and_restarts_nothing(fresh: tuple[Release, float]) -> None:
    release, seconds = fresh
    assert seconds <= 60
    for component in ("web", "worker", "beat", "postgres", "valkey"):
        assert len(release.pods(component)) == 1, component
        assert release.restart_count(component) == 0, component
    (migration,) = release.pods("migrate")
    assert migration["status"]["phase"] == "Succeeded"
    assert "Phase:" in release.helm("test", release.name)


def test_uploaded_picture_is_served_by_nginx(release: Release) -> None:
    session = release.sign_up("ada")
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(picture, "PNG")
    saved = release.post(
        session, "/accounts/profile/", {"display_name": "Ada"}, files={"picture": ("me.png", picture.getvalue())}
    )
    path = saved.text.partition('src="/media/')[2].partition('"')[0]

    answer = session.get(f"{release.url}/media/{path}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    # The file name is secret, so the log cuts it. nginx logs a media request only if it fails.
    assert path.startswith("pictures/")
    assert session.get(f"{release.url}/media/{path}.missing").status_code == 404
    web = release.pod("web")
    entry, log = '"path":"/media/pictures/…"', ("logs", web, "--container", "nginx")
    wait_until(lambda: entry in release.kubectl(*log), "nginx logs the missing picture")
    # nginx served the picture, so Django has not logged a request.
    assert "/media/pictures/" not in release.kubectl("logs", web, "--container", "web")
    release.wait_for_mail("ada@example.org")


def test_static_files_are_compressed_and_immutable(release: Release) -> None:
    style = release.url + stylesheet(release.session().get(release.url).text)
    session = release.session()
    sizes = {}
    for encoding in ("identity", "gzip", "br"):
        answer = session.get(style, headers={"Accept-Encoding": encoding}, stream=True)
        sizes[encoding] = len(answer.raw.read(decode_content=False))
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        assert answer.headers["Content-Type"] == "text/css"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Vary"] == "Accept-Encoding"
    assert sizes["br"] < sizes["gzip"] < sizes["identity"]
    assert session.get(f"{release.url}/static/none.css").status_code == 404


def test_database_has_the_tables_of_django_and_the_superuser_is_created_once(release: Release) -> None:
    tables = release.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
    assert {
        "auth_user",
        "auth_group",
        "auth_permission",
        "django_migrations",
        "django_session",
        "django_admin_log",
    } <= set(tables)
    release.install(superuser__enabled=True)
    release.kubectl(
        "wait",
        "job",
        "--selector",
        "app.kubernetes.io/component=superuser",
        "--for=condition=Complete",
        "--timeout=180s",
    )
    (job,) = release.get("jobs", "--selector", "app.kubernetes.io/component=superuser")["items"]
    password = release.secret("DJANGO_SUPERUSER_PASSWORD")

    release.kubectl("delete", "job", job["metadata"]["name"])
    release.install(superuser__enabled=True)
    release.kubectl("wait", "job", job["metadata"]["name"], "--for=condition=Complete", "--timeout=180s")

    assert release.psql("SELECT count(*) FROM auth_user WHERE is_superuser") == "1"
    admin = release.log_in("admin", password)
    page = admin.get(f"{release.url}/admin/")
    assert page.status_code == 200
    style = stylesheet(page.text)
    assert style.startswith("/static/admin/css/base.")
    assert admin.get(release.url + style).headers["Content-Type"] == "text/css"
    assert admin.get(f"{release.url}/reports/").status_code == 200
    table = admin.get(f"{release.url}/reports/daily-reports.csv")
    assert table.status_code == 200
    assert table.text.startswith("day,")


def test_metrics_and_health_are_not_reachable_through_the_ingress(release: Release) -> None:
    session = release.session()
    statuses = {
        path: session.get(release.url + path).status_code for path in ("/metrics", "/readyz", "/startupz", "/accel/x")
    }
    assert statuses == {"/metrics": 404, "/readyz": 404, "/startupz": 404, "/accel/x": 404}


def test_every_port_responds_on_ipv4_and_ipv6(release: Release) -> None:
    code = """
import http.client, pathlib
six = pathlib.Path("/proc/net/if_inet6")
for host in ["127.0.0.1"] + ["::1"] * (six.exists() and "00000000000000000000000000000001" in six.read_text()):
    for port, path in ((8001, "/livez"), (8002, "/metrics"), (8003, "/"), (8080, "/none")):
        connection = http.client.HTTPConnection(host, port, timeout=5)
        connection.request("GET", path)
        print(host, port, connection.getresponse().status)
"""
    answers = release.kubectl("exec", release.pod("web"), "--container", "web", "--", "python", "-c", code).split("\n")
    assert {answer.partition(" ")[2] for answer in answers if answer} == {
        "8001 200",
        "8002 200",
        "8003 200",
        "8080 400",
    }
    assert len(answers) - 1 in (4, 8)


def test_probes_leave_no_error_in_postgres_log(release: Release) -> None:
    log = release.kubectl("logs", f"{release.name}-postgres-0", "--container", "postgres")
    assert "ready to accept connections" in log
    assert [line for line in log.splitlines() if "FATAL:  role" in line] == []


def test_every_log_line_of_the_application_is_json(release: Release) -> None:
    for component in ("web", "worker", "beat"):
        log = release.kubectl("logs", release.pod(component), "--container", component)
        # Without EMAIL_URL, the worker's log contains the mails as text, from the first to the last of these lines.
        lines = re.sub(r"(?ms)^Content-Type: text/plain.*?^-{79}\n", "", log).splitlines()
        assert [json.loads(line)["level"] for line in lines], component
    assert release.pods("web")[0]["spec"]["containers"][0]["image"].endswith(f":{TAG}")


def test_logs_contain_no_query_no_client_address_and_no_reset_token(release: Release) -> None:
    # given a password reset link
    code = """
from django.contrib.auth.tokens import default_token_generator
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode
from service.accounts.models import User
user = User.objects.create_user("forgetful")
uid, token = urlsafe_base64_encode(str(user.pk).encode()), default_token_generator.make_token(user)
print(reverse("accounts:password_reset_confirm", args=[uid, token]))
"""
    link = release.python(code).strip()
    token = link.split("/")[-2]
    shortened = link.replace(f"{token}/", "…")

    # when the link is opened, and a missing media file is requested, for which nginx has an error message
    session = release.session()
    query, headers = "?email=ada@example.org", {"X-Request-ID": "reset-link"}
    statuses = [
        session.get(f"{release.url}{path}{query}", headers=headers, allow_redirects=False).status_code
        for path in (link, f"/media/{token}")
    ]

    assert statuses == [302, 404]

    # then nginx and Django log the shortened paths only
    def log(name: str) -> str:
        return release.kubectl("logs", release.pod("web"), "--container", name)

    def paths(name: str) -> list[str]:
        lines = map(json.loads, log(name).splitlines())
        return [line["path"] for line in lines if line.get("request_id") == "reset-link"]

    wait_until(lambda: sorted(paths("nginx")) == sorted([shortened, "/media/…"]), "nginx logs both requests")
    wait_until(lambda: paths("web") == [shortened], "Django logs its request")
    for output in (log("nginx"), log("web")):
        assert token not in output
        assert "ada@example.org" not in output
        assert "client:" not in output


def test_gateway_routes_to_the_pods(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a Gateway with an HTTP listener for routes of all namespaces
    found = run("kubectl", "get", "gateways", "-A", "--output", "json", check=False)  # fails without the Gateway API
    listeners = [
        (gateway, listener["name"])
        for gateway in (json.loads(found.stdout)["items"] if found.stdout else [])
        for listener in gateway["spec"]["listeners"]
        if listener["protocol"] == "HTTP" and listener["allowedRoutes"]["namespaces"]["from"] == "All"
    ]
    if not listeners:
        pytest.skip("the cluster has no Gateway with an HTTP listener for routes of all namespaces")
    gateway, section = listeners[0]
    monkeypatch.setattr("tests.cluster.conftest.INGRESS", gateway["status"]["addresses"][0]["value"])
    metadata = gateway["metadata"]
    parent = {"name": metadata["name"], "namespace": metadata["namespace"], "sectionName": section}
    style = stylesheet(release.session().get(release.url).text)

    # when the release has an HTTPRoute instead of an Ingress
    try:
        release.install(ingress__enabled=False, httpRoute={"enabled": True, "parentRefs": [parent]})

        # then the Gateway routes static files to nginx, and pages to Django, which redirects to HTTPS
        plain = f"http://{release.host}"
        session = release.session()
        wait_until(lambda: session.get(release.url).status_code == 404, "the ingress controller removes the route")
        wait_until(lambda: session.get(plain + style).status_code == 200, "the Gateway routes to the release")
        assert session.get(plain + style).headers["Content-Type"] == "text/css"
        page = session.get(f"{plain}/accounts/login/", allow_redirects=False)
        assert (page.status_code, page.headers["Location"]) == (301, f"{release.url}/accounts/login/")
    finally:
        release.install()


SERVERS = """
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: {name: database, labels: {app: database}}
    spec:
      securityContext: &security {runAsUser: 999, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: database
          image: postgres:18
          securityContext: &container {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          env: [{name: POSTGRES_USER, value: owner}, {name: POSTGRES_PASSWORD, value: secret}]
          readinessProbe: {exec: {command: [pg_isready, --host, 127.0.0.1]}, periodSeconds: 1}
          volumeMounts: [{name: run, mountPath: /var/run/postgresql}]
      volumes: [{name: run, emptyDir: {}}]
  - apiVersion: v1
    kind: Pod
    metadata: {name: cache, labels: {app: cache}}
    spec:
      securityContext: *security
      containers:
        - name: cache
          image: valkey/valkey:9
          command: [valkey-server, --requirepass, secret]
          securityContext: *container
  - apiVersion: v1
    kind: Service
    metadata: {name: database}
    spec: {selector: {app: database}, ports: [{port: 5432}]}
  - apiVersion: v1
    kind: Service
    metadata: {name: cache}
    spec: {selector: {app: cache}, ports: [{port: 6379}]}
"""


def test_external_postgres_and_valkey_are_used(empty: Release) -> None:
    # given a PostgreSQL and a Valkey outside the release
    empty.kubectl("apply", "--filename", "-", stdin=SERVERS)
    empty.kubectl("wait", "pod", "database", "cache", "--for=condition=Ready", "--timeout=180s")

    # when the release is installed with their addresses
    addresses = {"DATABASE_URL": "postgres://owner:secret@database/owner", "REDIS_URL": "redis://:secret@cache:6379/3"}
    empty.install(postgres__mode="external", valkey__mode="external", secrets__stringData=addresses)

    # then they store its users, sessions and tasks, and the release has no servers
    session = empty.sign_up("guest")
    psql = ("psql", "--username", "owner", "--tuples-only", "--no-align", "--command")
    assert empty.kubectl("exec", "database", "--", *psql, "SELECT username FROM auth_user") == "guest\n"
    state = ("exec", "database", "--", *psql, "SELECT state FROM accounts_mail")
    wait_until(lambda: empty.kubectl(*state) == "sent\n", "the mail is sent", MAIL_TIMEOUT)
    keys = ("exec", "cache", "--", "valkey-cli", "-a", "secret", "--no-auth-warning", "-n", "3", "keys", "*")
    key = "django.contrib.sessions"
    wait_until(lambda: empty.is_logged_in(session) and key in empty.kubectl(*keys), "the session is in the cache")
    assert empty.get("statefulsets")["items"] == []
