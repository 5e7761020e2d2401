"""An image that knows nothing of this chart, by what docs/your-own-project.md says."""

import sys
from pathlib import Path

from tests.support.cluster import REGISTRY, Release, run, stylesheet, wait_until
from tests.support.documents import blocks


def test_plain_project_runs_by_the_document_alone(empty: Release, tmp_path: Path) -> None:
    document = "docs/your-own-project.md"
    run(sys.executable, "-m", "django", "startproject", "plain", str(tmp_path))
    with (tmp_path / "plain" / "settings.py").open("a") as settings:
        settings.writelines(blocks(document, "python"))
    (tmp_path / "Dockerfile").write_text(*blocks(document, "dockerfile"))
    run("docker", "build", "--quiet", "--tag", f"{REGISTRY}/service:plain", str(tmp_path))
    run("docker", "push", "--quiet", f"{REGISTRY}/service:plain")
    values = tmp_path / "values.yaml"
    values.write_text(*blocks(document, "yaml"))

    empty.install("--values", str(values), image__tag="plain")

    assert empty.restart_count("web") == 0
    session = empty.session()
    page = wait_until(lambda: session.get(f"{empty.url}/admin/login/"), "the ingress controller knows the release")
    assert session.get(empty.url + stylesheet(page.text)).headers["Content-Type"] == "text/css"
    empty.kubectl(
        "wait",
        "job",
        "--selector=app.kubernetes.io/component=superuser",
        "--for=condition=Complete",
        "--timeout=180s",
    )
    empty.post(session, "/admin/login/", {"username": "admin", "password": empty.secret("DJANGO_SUPERUSER_PASSWORD")})
    assert "Site administration" in session.get(f"{empty.url}/admin/").text
