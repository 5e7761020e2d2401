"""The rendered chart, without a cluster."""

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.render import BASE, CHART, attempt, flags, helm, objects, text
from tests.support.values import EVERYTHING, POSTGRES, SECRETS, combinations


def pods(rendered: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """The pod specifications, by the name of the object that creates them."""
    templates = {
        name: item["spec"]["template"] for (_, name), item in rendered.items() if "template" in item.get("spec", {})
    }
    return {name: template["spec"] for name, template in templates.items()}


def environment(container: Any) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_rendering_is_deterministic() -> None:
    assert text(**EVERYTHING) == text(**EVERYTHING)


def test_every_combination_of_modes_renders_and_lints() -> None:
    def problems(values: dict[str, Any]) -> str:
        rendered = attempt(BASE | values)
        linted = helm("lint", "--strict", str(CHART), *flags(BASE | values))
        failed = [done for done in (rendered, linted) if done.returncode]
        return f"{values}: {[done.stdout + done.stderr for done in failed]}" if failed else ""

    with ThreadPoolExecutor() as pool:
        assert not [said for said in pool.map(problems, combinations()) if said]


def test_long_release_names_are_truncated_and_stay_unique() -> None:
    longest = "a" * 53
    rendered = objects(release=longest)
    other = objects(release=longest[:-1] + "b")
    for kind, name in rendered:
        assert len(name) <= (52 if kind == "StatefulSet" else 63)
        assert not name.endswith("-")
        assert (kind, name) not in other


def test_labels_and_numeric_namespaces_are_valid() -> None:
    values = flags(BASE | {"image.tag": "a" * 62 + "-branch"})
    done = helm("template", "shop", str(CHART), "--namespace", "1234", *values)

    rendered = [item["metadata"] for item in yaml.safe_load_all(done.stdout)]
    assert {item["namespace"] for item in rendered} == {"1234"}
    assert {item["labels"]["app.kubernetes.io/version"] for item in rendered} == {"a" * 62}


def migration(**values: Any) -> str:
    (name,) = [name for kind, name in objects(**values) if kind == "Job"]
    return name


def test_migration_job_changes_with_image_and_settings_only() -> None:
    first = migration()
    assert (
        migration(web__replicas=0, worker__replicas=3, ingress__className="other", nginx__clientMaxBodySize="1m")
        == first
    )
    others = [
        migration(image__tag="2"),
        migration(env__FEATURE="on"),
        migration(migrations__rerun=2),
        migration(migrations__command=["./migrate"]),
        migration(**POSTGRES[2]),
        migration(**POSTGRES[2] | {"secrets.stringData.DATABASE_URL": "postgres://a:b@db.example.org/other"}),
    ]
    assert len({first, *others}) == 7


def test_only_the_helm_test_is_a_hook() -> None:
    hooks = [name for (_, name), item in objects().items() if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    assert hooks == ["shop-test"]


def test_render_with_skip_tests_has_no_hook() -> None:
    done = helm("template", "shop", str(CHART), "--skip-tests", *flags(BASE))

    assert done.returncode == 0, done.stderr
    assert "helm.sh/hook" not in done.stdout


def test_every_pod_meets_the_restricted_standard_without_a_token() -> None:
    rendered = pods(objects(superuser__enabled=True))
    assert len(rendered) == 7
    for name, pod in rendered.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"] + pod.get("initContainers", []):
            security = {key: container["securityContext"][key] for key in ("allowPrivilegeEscalation", "capabilities")}
            assert security == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}, name
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert "memory" in container["resources"]["limits"], name


def test_every_serving_container_has_a_liveness_probe() -> None:
    for name, pod in pods(objects()).items():
        if pod.get("restartPolicy") != "Never":
            stay = [container for container in pod.get("initContainers", []) if "restartPolicy" in container]
            assert all("livenessProbe" in container for container in pod["containers"] + stay), name


def test_disruption_budget_exists_for_several_replicas_only() -> None:
    def budgets(**values: Any) -> dict[str, Any]:
        return {name: item["spec"] for (kind, name), item in objects(**values).items() if kind == "PodDisruptionBudget"}

    assert budgets() == {}
    several = budgets(web__replicas=2, media__mode="none", worker__replicas=2)
    assert list(several) == ["shop-web", "shop-worker"]
    for spec in several.values():
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_web_pods_share_a_node_with_a_read_write_once_volume() -> None:
    architecture: dict[str, Any] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}

    def affinity(**values: Any) -> Any:
        return pods(objects(**values))["shop-web"].get("affinity")

    assert affinity(media__mode="none") is None
    assert affinity(media__mode="none", affinity=architecture) == architecture
    assert affinity(affinity=architecture) == affinity() | architecture
    (beside,) = affinity()["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert beside["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "web"
    elsewhere = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}
    assert affinity(affinity=elsewhere) == elsewhere


def test_subdomains_are_routed_and_allowed() -> None:
    rendered = objects(**EVERYTHING, django__allowedHosts={".example.org": True, "old.example.org": False})

    web = environment(pods(rendered)["shop-web"]["containers"][0])
    assert web["DJANGO_ALLOWED_HOSTS"] == "shop.example.org,.example.org"
    routed = ["shop.example.org", "*.example.org"]
    assert [rule["host"] for rule in rendered["Ingress", "shop-web"]["spec"]["rules"]] == routed
    assert rendered["Ingress", "shop-web"]["spec"]["tls"][0]["hosts"] == routed
    assert rendered["HTTPRoute", "shop-web"]["spec"]["hostnames"] == routed


def test_network_policies_allow_only_what_is_needed() -> None:
    rendered = objects()
    release = {"app.kubernetes.io/name": "django", "app.kubernetes.io/instance": "shop"}
    names = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}
    others = {"ports": [{"port": port} for port in (443, 587, 5432, 6379)]}

    policies = {name: item["spec"] for (kind, name), item in rendered.items() if kind == "NetworkPolicy"}
    assert policies.keys() == {"shop-app", "shop-postgres", "shop-valkey"}
    own = {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["postgres", "valkey"]}
    assert policies["shop-app"] == {
        "podSelector": {"matchLabels": release, "matchExpressions": [own]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": [{"port": 8080}]},
            {"from": [{"namespaceSelector": {}}], "ports": [{"port": 8002}]},
        ],
        "egress": [
            names,
            {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop"}}}]},
            others,
        ],
    }
    for server, port in (("postgres", 5432), ("valkey", 6379)):
        assert policies[f"shop-{server}"] == {
            "podSelector": {"matchLabels": release | {"app.kubernetes.io/component": server}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": release}}], "ports": [{"port": port}]}],
        }


def test_migration_waits_for_the_database_of_the_release() -> None:
    hosts = {"bundled": "shop-postgres", "cnpg": "shop-postgres-rw"}
    for mode, host in hosts.items():
        migrate = next(pod for name, pod in pods(objects(postgres__mode=mode)).items() if "migrate" in name)
        assert migrate["initContainers"][0]["command"][2].endswith(f"--host {host}; do sleep 0.5; done"), mode


def test_progress_deadline_exceeds_the_migration_deadline() -> None:
    rendered = objects(migrations__activeDeadlineSeconds=7200)
    deadlines = [
        item["spec"]["progressDeadlineSeconds"] for (kind, _), item in rendered.items() if kind == "Deployment"
    ]
    assert deadlines == [7800] * 3


def test_ingress_of_class_nginx_has_the_limits_of_the_pod() -> None:
    own = {"nginx.org/client-max-body-size": "1m"}
    rendered = objects(nginx__clientMaxBodySize="20m", web__timeoutSeconds=90, ingress__annotations=own)
    assert rendered["Ingress", "shop-web"]["metadata"]["annotations"] == {
        "nginx.org/client-max-body-size": "1m",
        "nginx.org/proxy-read-timeout": "90s",
        "nginx.ingress.kubernetes.io/proxy-body-size": "20m",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "90",
    }
    assert "annotations" not in objects(ingress__className="traefik")["Ingress", "shop-web"]["metadata"]


def test_keda_may_connect_to_valkey() -> None:
    rendered = objects(worker__autoscaling__enabled=True)
    (rule,) = rendered["NetworkPolicy", "shop-valkey"]["spec"]["ingress"]
    assert {"app": "keda-operator"} in [peer["podSelector"]["matchLabels"] for peer in rule["from"]]


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_bundled_servers_use_their_own_pod_values(server: str) -> None:
    # given pod values for the application and other ones for the server
    rendered = objects(**EVERYTHING)["StatefulSet", f"shop-{server}"]["spec"]["template"]

    # then the server has its own only, and the pull secret
    assert rendered["metadata"]["labels"]["team"] == rendered["metadata"]["annotations"]["team"] == "data"
    pod = rendered["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"disk": "nvme"}
    assert [toleration["key"] for toleration in pod["tolerations"]] == ["data", "fast", "spot"]
    assert (pod["affinity"], pod["priorityClassName"]) == ({"nodeAffinity": {}}, "system-cluster-critical")
    assert {"name": "init", "configMap": {"name": "init"}} in pod["volumes"]
    mount = {"name": "init", "mountPath": "/etc/init", "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]


def test_cloudnativepg_uses_the_pod_values_of_postgres() -> None:
    spec = objects(**EVERYTHING | POSTGRES[1])["Cluster", "shop-postgres"]["spec"]

    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["inheritedMetadata"] == {"labels": {"team": "data"}, "annotations": {"team": "data"}}
    assert [toleration["key"] for toleration in spec["affinity"]["tolerations"]] == ["data", "fast", "spot"]
    assert (spec["affinity"]["nodeSelector"], spec["affinity"]["nodeAffinity"]) == ({"disk": "nvme"}, {})
    assert spec["priorityClassName"] == "system-cluster-critical"


def test_cloudnativepg_image_name_is_optional() -> None:
    def cluster(**values: Any) -> Any:
        return objects(postgres__mode="cnpg", **values)["Cluster", "shop-postgres"]["spec"]

    assert "imageName" not in cluster()
    assert cluster(postgres__cnpg__imageName="postgresql:18.1")["imageName"] == "postgresql:18.1"


def test_pooler_limits_match_pods_and_database() -> None:
    rendered = objects(postgres__mode="cnpg", postgres__maxConnections=200, media__mode="none", web__replicas=9)

    # given 9 and 9 pods of 2 processes with 4 + 1 connections, 1 and 1 workers of 2 processes, and 2 + 1 poolers
    bouncer = rendered["Pooler", "shop-postgres-pooler"]["spec"]["pgbouncer"]
    assert bouncer["parameters"] == {"max_client_conn": "192", "default_pool_size": "64"}
    small = objects(postgres__mode="cnpg")["Pooler", "shop-postgres-pooler"]["spec"]["pgbouncer"]
    assert small["parameters"] == {"max_client_conn": "100", "default_pool_size": "30"}


def test_network_policies_allow_cloudnativepg() -> None:
    rendered = objects(postgres__mode="cnpg", networkPolicy__egressPorts=[])
    database, pooler = {"cnpg.io/cluster": "shop-postgres"}, {"cnpg.io/poolerName": "shop-postgres-pooler"}
    application = {"app.kubernetes.io/name": "django", "app.kubernetes.io/instance": "shop"}
    operator = {"app.kubernetes.io/name": "cloudnative-pg"}

    def opened(rules: list[Any], direction: str) -> list[tuple[list[Any], list[int]]]:
        return [
            (
                [peer.get("podSelector", {}).get("matchLabels") for peer in rule.get(direction, [])],
                [port["port"] for port in rule["ports"]],
            )
            for rule in rules
            if "ports" in rule
        ]

    policy = rendered["NetworkPolicy", "shop-postgres"]["spec"]
    assert (policy["podSelector"]["matchLabels"], policy["policyTypes"]) == (database, ["Ingress"])
    assert opened(policy["ingress"], "from") == [
        ([application, database, pooler], [5432]),
        ([database, pooler, operator], [5432, 8000]),
        ([None], [9187, 9127]),
    ]
    egress = rendered["NetworkPolicy", "shop-app"]["spec"]["egress"]
    assert ([database, pooler], [5432]) in opened(egress, "to")


def test_digest_takes_precedence_over_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    web = pods(objects(image__digest=digest, image__tag="2"))["shop-web"]["containers"][0]

    assert web["image"] == f"service@{digest}"


def test_service_has_type_and_annotations() -> None:
    service = objects(**EVERYTHING)["Service", "shop-web"]

    assert (service["spec"]["type"], service["metadata"]["annotations"]) == ("LoadBalancer", {"team": "shop"})
    assert objects()["Service", "shop-web"]["spec"]["type"] == "ClusterIP"


def test_service_account_has_annotations() -> None:
    assert objects(**EVERYTHING)["ServiceAccount", "shop-app"]["metadata"]["annotations"] == {"role": "shop"}
    assert "annotations" not in objects()["ServiceAccount", "shop-app"]["metadata"]


def test_metrics_are_scraped_by_annotations_or_by_a_podmonitor() -> None:
    annotated, monitored = objects(), objects(**EVERYTHING)

    def annotations(rendered: dict[tuple[str, str], Any], name: str) -> list[str]:
        template = rendered["Deployment", name]["spec"]["template"]
        return [key for key in template["metadata"]["annotations"] if key.startswith("prometheus.io/")]

    assert ("PodMonitor", "shop-app") not in annotated
    assert monitored["PodMonitor", "shop-app"]["metadata"]["labels"]["release"] == "prometheus"
    for name in ("shop-web", "shop-worker", "shop-beat"):
        assert annotations(annotated, name) == ["prometheus.io/path", "prometheus.io/port", "prometheus.io/scrape"]
        assert annotations(monitored, name) == []


def test_existing_claim_replaces_the_claim_of_the_chart() -> None:
    rendered = objects(media__existingClaim="pictures", media__accessModes=["ReadWriteMany"], web__replicas=2)

    assert ("PersistentVolumeClaim", "shop-media") not in rendered
    volumes = {volume["name"]: volume for volume in pods(rendered)["shop-web"]["volumes"]}
    assert volumes["media"]["persistentVolumeClaim"] == {"claimName": "pictures"}


def test_secret_references_precede_the_variables_that_expand_them() -> None:
    names = [item["name"] for item in pods(objects())["shop-web"]["containers"][0]["env"]]
    assert names.index("POSTGRES_PASSWORD") < names.index("DATABASE_URL")
    assert names.index("VALKEY_PASSWORD") < names.index("REDIS_URL")


def test_nginx_log_line_has_no_client_address() -> None:
    config = objects()["ConfigMap", "shop-nginx"]["data"]["nginx.conf"]
    (line,) = re.findall(r"log_format line escape=json (.*?);", config, re.DOTALL)

    fields = json.loads(re.sub(r":\$\w+", ":0", re.sub(r"'\s*'", "", line).strip("'")))

    assert sorted(fields) == [
        *("bytes", "event", "host", "level", "logger", "method", "path", "request_id", "seconds", "status"),
        *("timestamp", "upstream_seconds", "user_agent"),
    ]


def test_migrations_bypass_the_pooler() -> None:
    rendered = pods(objects(postgres__mode="cnpg"))
    (job,) = [pod for name, pod in rendered.items() if "migrate" in name]
    direct, pooled = environment(job["containers"][0]), environment(rendered["shop-web"]["containers"][0])
    user = "postgres://django:$(POSTGRES_PASSWORD)"
    assert direct["DATABASE_URL"] == f"{user}@shop-postgres-rw:5432/django"
    assert pooled["DATABASE_URL"] == f"{user}@shop-postgres-pooler:5432/django"
    assert "DATABASE_SERVER_SIDE_CURSORS" not in direct
    assert pooled["DATABASE_SERVER_SIDE_CURSORS"] == "false"


def test_broker_url_of_an_external_valkey_is_optional() -> None:
    rendered = pods(objects(**SECRETS[1], valkey__mode="external"))

    broker = environment(rendered["shop-worker"]["containers"][0])["CELERY_BROKER_URL"]
    assert broker == {"secretKeyRef": {"name": "mine", "key": "CELERY_BROKER_URL", "optional": True}}


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({}, True),
        ({"secrets.stringData.EMAIL_URL": "smtp://mail.example.org"}, False),
        ({"env.EMAIL_URL": "smtp://mail.example.org"}, False),
        ({"worker.env.EMAIL_URL": "smtp://mail.example.org"}, False),
        ({"worker.enabled": False}, False),
        (SECRETS[1], False),
    ],
)
def test_notes_warn_of_mail_in_the_log(values: dict[str, Any], warned: bool) -> None:
    done = helm("install", "shop", str(CHART), "--dry-run=client", *flags(BASE | values))

    assert done.returncode == 0, done.stderr
    assert ("UNSAFE: mail, password reset links included, is written to the worker's log" in done.stdout) is warned


def test_seeded_secrets_are_stable_and_differ_between_releases() -> None:
    first = objects()["Secret", "shop-secret"]["data"]
    assert sorted(first) == ["POSTGRES_PASSWORD", "SECRET_KEY", "VALKEY_PASSWORD"]
    assert len(set(first.values())) == 3
    assert objects(release="other")["Secret", "other-secret"]["data"].keys() == first.keys()
    assert not set(objects(release="other")["Secret", "other-secret"]["data"].values()) & set(first.values())


def test_only_the_superuser_job_has_the_password() -> None:
    rendered = pods(objects(superuser__enabled=True))
    holders = [
        name
        for name, pod in rendered.items()
        for container in pod["containers"] + pod.get("initContainers", [])
        if "DJANGO_SUPERUSER_PASSWORD" in [item["name"] for item in container.get("env", [])]
    ]
    assert len(holders) == 1
    assert holders[0].startswith("shop-superuser-")


def test_env_reaches_every_application_container() -> None:
    rendered = pods(objects(**EVERYTHING))
    web, worker = rendered["shop-web"]["containers"][0], rendered["shop-worker"]["containers"][0]
    assert environment(web)["FEATURE"] == environment(worker)["FEATURE"] == "on"
    assert environment(web)["TOKEN"] == {"secretKeyRef": {"name": "tokens", "key": "shop"}}
    assert (environment(web)["ONLY_WEB"], environment(web)["HSTS_SECONDS"]) == ("1", "31536000")
    assert environment(web)["AWS_ACCESS_KEY_ID"] == {"configMapKeyRef": {"name": "s3", "key": "id"}}
    assert "ONLY_WEB" not in environment(worker)
    assert {"name": "certificates", "mountPath": "/etc/certificates", "readOnly": True} in web["volumeMounts"]
    assert {"name": "certificates", "configMap": {"name": "ca"}} in rendered["shop-worker"]["volumes"]


@pytest.mark.skipif(not shutil.which("checkov"), reason="checkov is not installed: uv tool install checkov")
def test_checkov_passes(tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(text(superuser__enabled=True))
    command = ["checkov", "--config-file", str(CHART.parent / "checkov.yaml"), "--file", str(rendered)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
