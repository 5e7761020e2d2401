"""The rendered chart, without a cluster."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT
from tests.support.render import BASE, CHART, attempt, flags, helm, objects, refusal, text

# The old name of each renamed value, and what it is now.
RENAMED: dict[str, str] = yaml.safe_load((CHART / "files/renamed-values.yaml").read_text())
SEED = [f"--set={key}={BASE[key]}" for key in ("secrets.mode", "secrets.seed")]
POSTGRES: list[dict[str, Any]] = [
    {"postgres.mode": "bundled"},
    {
        "postgres.mode": "cnpg",
        "postgres.cnpg.backupSchedule": "0 0 2 * * *",
        "postgres.cnpg.backupPlugin.name": "barman-cloud.cloudnative-pg.io",
    },
    {"postgres.mode": "external", "secrets.stringData.DATABASE_URL": "postgres://a:b@db.example.org/c"},
]
VALKEY: list[dict[str, Any]] = [
    {"valkey.mode": "bundled"},
    {"valkey.mode": "external", "secrets.stringData.REDIS_URL": "redis://cache.example.org"},
    {"valkey.mode": "none", "worker.enabled": False, "beat.enabled": False},
]
MEDIA: list[dict[str, Any]] = [
    {"media.mode": "volume"},
    {"media.mode": "s3", "media.s3.bucket": "pictures", "web.replicas": 3},
    {"media.mode": "none"},
]
SECRETS: list[dict[str, Any]] = [
    {},
    {"secrets.mode": "existing", "secrets.existingSecret": "mine"},
    {
        "secrets.mode": "externalSecret",
        "secrets.externalSecret.secretStoreRef.name": "vault",
        "secrets.externalSecret.key": "shop",
    },
]
SERVER: dict[str, Any] = {
    "podLabels": {"team": "data"},
    "podAnnotations": {"team": "data"},
    "nodeSelector": {"disk": "nvme"},
    "tolerations": [{"key": name, "operator": "Exists"} for name in ("data", "fast", "spot")],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "extraVolumes": [{"name": "init", "configMap": {"name": "init"}}],
    "extraVolumeMounts": [{"name": "init", "mountPath": "/etc/init", "readOnly": True}],
}
EVERYTHING: dict[str, Any] = {
    "web.autoscaling.enabled": True,
    "media.accessModes": ["ReadWriteMany"],
    "postgres.maxConnections": 200,
    "worker.autoscaling.enabled": True,
    "metrics.podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "httpRoute.enabled": True,
    "httpRoute.parentRefs": [{"name": "local", "namespace": "default", "sectionName": "http"}],
    "superuser.enabled": True,
    "ingress.annotations.team": "shop",
    "ingress.tlsSecretName": "certificate",
    "imagePullSecrets": [{"name": "registry"}],
    "env.FEATURE": "on",
    "env.HSTS_SECONDS": 31536000,
    "env.AWS_ACCESS_KEY_ID": {"configMapKeyRef": {"name": "s3", "key": "id"}},
    "env.TOKEN": {"secretKeyRef": {"name": "tokens", "key": "shop"}},
    "web.env.ONLY_WEB": 1,
    "serviceAccount.annotations.role": "shop",
    "podLabels.team": "shop",
    "podAnnotations.team": "shop",
    "nodeSelector.disk": "ssd",
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "priorityClassName": "system-cluster-critical",
    "extraVolumes": [{"name": "certificates", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "certificates", "mountPath": "/etc/certificates", "readOnly": True}],
    "worker.podLabels.queue": "default",
    "web.service": {"type": "LoadBalancer", "annotations": {"team": "shop"}},
    **{f"{server}.{key}": value for server in ("postgres", "valkey") for key, value in SERVER.items()},
}


def combinations() -> list[dict[str, Any]]:
    made = [
        postgres | valkey | media | secrets
        for postgres, valkey, media, secrets in itertools.product(POSTGRES, VALKEY, MEDIA, SECRETS)
    ]
    for values in made:
        if "secrets.mode" in values:  # those bring their own
            for name in ("DATABASE_URL", "REDIS_URL"):
                values.pop(f"secrets.stringData.{name}", None)
    return [*made, EVERYTHING, EVERYTHING | POSTGRES[1]]


def pods(rendered: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """The specification of each pod, by the name of what makes it."""
    templates = {
        name: item["spec"]["template"] for (_, name), item in rendered.items() if "template" in item.get("spec", {})
    }
    return {name: template["spec"] for name, template in templates.items()}


def environment(container: Any) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert text(**EVERYTHING) == text(**EVERYTHING)


def test_every_combination_of_modes_renders_and_is_linted() -> None:
    def problems(values: dict[str, Any]) -> str:
        rendered = attempt(BASE | values)
        linted = helm("lint", "--strict", str(CHART), *flags(BASE | values))
        failed = [done for done in (rendered, linted) if done.returncode]
        return f"{values}: {[done.stdout + done.stderr for done in failed]}" if failed else ""

    with ThreadPoolExecutor() as pool:
        assert not [said for said in pool.map(problems, combinations()) if said]


def test_readme_and_schema_are_those_of_the_values() -> None:
    command = [sys.executable, str(ROOT / "bin/chart_docs.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"host": ""}, "host is empty: set it"),
        ({"web.probes.port": 8080}, "set web.probes.readinessPath to a page"),
        ({"web.probes.port": 8080, "web.probes.readinessPath": ""}, "set web.probes.startupPath to a page"),
        ({"web.replicas": 2}, "set media.accessModes to [ReadWriteMany]"),
        ({"web.replicas": 2}, "create another claim, copy the files and set media.existingClaim"),
        ({"web.autoscaling.enabled": True}, "set media.accessModes to [ReadWriteMany]"),
        (
            {"media.mode": "none", "web.autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}},
            "lower minReplicas or raise maxReplicas",
        ),
        (
            {"worker.autoscaling": {"enabled": True, "minReplicas": 9}},
            "worker.autoscaling.minReplicas is 9 and maxReplicas is 6: lower minReplicas",
        ),
        ({"media.mode": "s3"}, "set media.s3.bucket"),
        ({"secrets.seed": "short"}, "openssl rand -hex 32"),
        ({"secrets.mode": "existing"}, "set secrets.existingSecret"),
        ({"secrets.mode": "externalSecret"}, "set secrets.externalSecret.secretStoreRef.name"),
        ({"secrets.mode": "generate"}, "set secrets.mode to seed, existing or externalSecret"),
        ({"postgres.mode": "external"}, "set secrets.stringData.DATABASE_URL"),
        ({"valkey.mode": "external"}, "set secrets.stringData.REDIS_URL"),
        ({"secrets.stringData.REDIS_URL": "redis://cache.example.org"}, "remove secrets.stringData.REDIS_URL"),
        (
            {"secrets.stringData.CELERY_BROKER_URL": "redis://queue.example.org"},
            "remove secrets.stringData.CELERY_BROKER_URL",
        ),
        (
            {"postgres.mode": "cnpg", "secrets.stringData.POSTGRES_PASSWORD": "a"},
            "remove secrets.stringData.POSTGRES_PASSWORD",
        ),
        ({"secrets.stringData.POSTGRES_PASSWORD": "p@ss/w#rd"}, "use letters and digits only"),
        ({"host": "https://shop.example.org"}, '"https://shop.example.org" is not a host name: set'),
        ({"django.allowedHosts": {"*": True}}, '"*" is not a host name: set'),
        ({"secrets.stringData.GUNICORN_BIND": "0.0.0.0:8000"}, "remove secrets.stringData.GUNICORN_BIND"),
        ({"worker.env.TOKEN": "a", "secrets.stringData.TOKEN": "b"}, "remove secrets.stringData.TOKEN"),
        ({"valkey.mode": "none"}, "set valkey.mode to bundled or external"),
        ({"httpRoute.enabled": True}, "set httpRoute.parentRefs"),
        ({"web.workers": 12}, "raise postgres.maxConnections to 132"),
        ({"media.mode": "none", "web.replicas": 5}, "raise postgres.maxConnections to 112"),
        (
            {"postgres.mode": "cnpg", "postgres.cnpg.poolerInstances": 0, "web.workers": 12},
            "raise postgres.maxConnections to 132",
        ),
        ({"postgres.mode": "cnpg", "postgres.cnpg.backupSchedule": "0 0 2 * * *"}, "set postgres.cnpg.backupPlugin"),
        ({"image.digest": "service@sha256:" + "a" * 64}, "'/image/digest': 'service@sha256:"),
        ({"web.replica": 2}, "additional properties 'replica' not allowed"),
        ({"web.podLabls.a": "b"}, "additional properties 'podLabls' not allowed"),
        ({"web.podLabels.a": 1}, "'/web/podLabels/a': got number, want string"),
        ({"secrets.mode": "random"}, "must be one of 'generate', 'seed', 'existing', 'externalSecret'"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(values: dict[str, Any], remedy: str) -> None:
    assert remedy in refusal(**values)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_value_is_refused_with_its_new_name(old: str, new: str) -> None:
    assert f": {old} is now {new}." in refusal(**{old: 1})


def test_all_renamed_values_are_reported_at_once() -> None:
    message = refusal(**{"web.drain": 1, "web.longestRequest": 2})

    assert "web.drain is now web.preStopSeconds; web.longestRequest is now web.timeoutSeconds." in message


def test_upgrade_page_lists_the_renamed_values() -> None:
    page = (ROOT / "docs/upgrade.md").read_text()

    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(.+)` \|$", page, re.MULTILINE))
    assert rows == RENAMED


def test_names_are_cut_and_stay_different() -> None:
    longest = "a" * 53
    rendered = objects(release=longest)
    other = objects(release=longest[:-1] + "b")
    for kind, name in rendered:
        assert len(name) <= (52 if kind == "StatefulSet" else 63)
        assert not name.endswith("-")
        assert (kind, name) not in other


def test_labels_and_namespaces_are_valid_whatever_they_are_made_of() -> None:
    values = flags(BASE | {"image.tag": "a" * 62 + "-branch"})
    done = helm("template", "shop", str(CHART), "--namespace", "1234", *values)

    rendered = [item["metadata"] for item in yaml.safe_load_all(done.stdout)]
    assert {item["namespace"] for item in rendered} == {"1234"}
    assert {item["labels"]["app.kubernetes.io/version"] for item in rendered} == {"a" * 62}


def migration(**values: Any) -> str:
    (name,) = [name for kind, name in objects(**values) if kind == "Job"]
    return name


def test_migration_runs_again_for_another_image_or_setting_only() -> None:
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


def test_nothing_is_a_hook_but_the_test() -> None:
    hooks = [name for (_, name), item in objects().items() if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    assert hooks == ["shop-test"]


def test_what_kubectl_applies_has_no_hook() -> None:
    done = helm("template", "shop", str(CHART), "--skip-tests", *flags(BASE))

    assert done.returncode == 0, done.stderr
    assert "helm.sh/hook" not in done.stdout


def test_every_pod_is_restricted_and_has_no_token() -> None:
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


def test_every_serving_container_is_probed() -> None:
    for name, pod in pods(objects()).items():
        if pod.get("restartPolicy") != "Never":
            stay = [container for container in pod.get("initContainers", []) if "restartPolicy" in container]
            assert all("livenessProbe" in container for container in pod["containers"] + stay), name


def test_budget_only_where_a_pod_can_be_spared() -> None:
    def budgets(**values: Any) -> dict[str, Any]:
        return {name: item["spec"] for (kind, name), item in objects(**values).items() if kind == "PodDisruptionBudget"}

    assert budgets() == {}
    several = budgets(web__replicas=2, media__mode="none", worker__replicas=2)
    assert list(several) == ["shop-web", "shop-worker"]
    for spec in several.values():
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_web_pods_stay_beside_their_volume_wherever_else_they_may_run() -> None:
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


def test_names_below_a_host_are_routed_and_answered() -> None:
    rendered = objects(**EVERYTHING, django__allowedHosts={".example.org": True, "old.example.org": False})

    web = environment(pods(rendered)["shop-web"]["containers"][0])
    assert web["DJANGO_ALLOWED_HOSTS"] == "shop.example.org,.example.org"
    routed = ["shop.example.org", "*.example.org"]
    assert [rule["host"] for rule in rendered["Ingress", "shop-web"]["spec"]["rules"]] == routed
    assert rendered["Ingress", "shop-web"]["spec"]["tls"][0]["hosts"] == routed
    assert rendered["HTTPRoute", "shop-web"]["spec"]["hostnames"] == routed


def test_policies_open_what_is_needed_and_nothing_else() -> None:
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


def test_migration_waits_for_the_database_that_is_made_with_it() -> None:
    hosts = {"bundled": "shop-postgres", "cnpg": "shop-postgres-rw"}
    for mode, host in hosts.items():
        migrate = next(pod for name, pod in pods(objects(postgres__mode=mode)).items() if "migrate" in name)
        assert migrate["initContainers"][0]["command"][2].endswith(f"--host {host}; do sleep 0.5; done"), mode


def test_pods_may_wait_as_long_as_a_migration_may_take() -> None:
    rendered = objects(migrations__activeDeadlineSeconds=7200)
    deadlines = [
        item["spec"]["progressDeadlineSeconds"] for (kind, _), item in rendered.items() if kind == "Deployment"
    ]
    assert deadlines == [7800] * 3


def test_ingress_of_class_nginx_lets_through_what_the_pod_does() -> None:
    own = {"nginx.org/client-max-body-size": "1m"}
    rendered = objects(nginx__clientMaxBodySize="20m", web__timeoutSeconds=90, ingress__annotations=own)
    assert rendered["Ingress", "shop-web"]["metadata"]["annotations"] == {
        "nginx.org/client-max-body-size": "1m",
        "nginx.org/proxy-read-timeout": "90s",
        "nginx.ingress.kubernetes.io/proxy-body-size": "20m",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "90",
    }
    assert "annotations" not in objects(ingress__className="traefik")["Ingress", "shop-web"]["metadata"]


def test_keda_reaches_the_queue_that_it_measures() -> None:
    rendered = objects(worker__autoscaling__enabled=True)
    (rule,) = rendered["NetworkPolicy", "shop-valkey"]["spec"]["ingress"]
    assert {"app": "keda-operator"} in [peer["podSelector"]["matchLabels"] for peer in rule["from"]]


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_servers_run_where_they_are_told_and_are_pulled_as_the_application(server: str) -> None:
    # given values for the application and for the server
    rendered = objects(**EVERYTHING)["StatefulSet", f"shop-{server}"]["spec"]["template"]

    # then the server has its own of them alone, and the registry's secret
    assert rendered["metadata"]["labels"]["team"] == rendered["metadata"]["annotations"]["team"] == "data"
    pod = rendered["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"disk": "nvme"}
    assert [toleration["key"] for toleration in pod["tolerations"]] == ["data", "fast", "spot"]
    assert (pod["affinity"], pod["priorityClassName"]) == ({"nodeAffinity": {}}, "system-cluster-critical")
    assert {"name": "init", "configMap": {"name": "init"}} in pod["volumes"]
    mount = {"name": "init", "mountPath": "/etc/init", "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]


def test_cloudnativepg_runs_where_it_is_told() -> None:
    spec = objects(**EVERYTHING | POSTGRES[1])["Cluster", "shop-postgres"]["spec"]

    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["inheritedMetadata"] == {"labels": {"team": "data"}, "annotations": {"team": "data"}}
    assert [toleration["key"] for toleration in spec["affinity"]["tolerations"]] == ["data", "fast", "spot"]
    assert (spec["affinity"]["nodeSelector"], spec["affinity"]["nodeAffinity"]) == ({"disk": "nvme"}, {})
    assert spec["priorityClassName"] == "system-cluster-critical"


def test_cloudnativepg_has_the_operators_postgresql_or_ones_own() -> None:
    def cluster(**values: Any) -> Any:
        return objects(postgres__mode="cnpg", **values)["Cluster", "shop-postgres"]["spec"]

    assert "imageName" not in cluster()
    assert cluster(postgres__cnpg__imageName="postgresql:18.1")["imageName"] == "postgresql:18.1"


def test_poolers_take_what_the_pods_open_and_open_what_the_database_takes() -> None:
    rendered = objects(postgres__mode="cnpg", postgres__maxConnections=200, media__mode="none", web__replicas=9)

    # given 9 and 9 pods of 2 processes with 4 + 1 connections, 1 and 1 workers of 2 processes, and 2 + 1 poolers
    bouncer = rendered["Pooler", "shop-postgres-pooler"]["spec"]["pgbouncer"]
    assert bouncer["parameters"] == {"max_client_conn": "192", "default_pool_size": "64"}
    small = objects(postgres__mode="cnpg")["Pooler", "shop-postgres-pooler"]["spec"]["pgbouncer"]
    assert small["parameters"] == {"max_client_conn": "100", "default_pool_size": "30"}


def test_cloudnativepg_is_let_through_where_little_else_is() -> None:
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


def test_digest_decides_in_place_of_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    web = pods(objects(image__digest=digest, image__tag="2"))["shop-web"]["containers"][0]

    assert web["image"] == f"service@{digest}"


def test_service_is_of_the_type_and_has_the_annotations_that_a_cloud_reads() -> None:
    service = objects(**EVERYTHING)["Service", "shop-web"]

    assert (service["spec"]["type"], service["metadata"]["annotations"]) == ("LoadBalancer", {"team": "shop"})
    assert objects()["Service", "shop-web"]["spec"]["type"] == "ClusterIP"


def test_service_account_has_the_annotations_that_a_cloud_reads() -> None:
    assert objects(**EVERYTHING)["ServiceAccount", "shop-app"]["metadata"]["annotations"] == {"role": "shop"}
    assert "annotations" not in objects()["ServiceAccount", "shop-app"]["metadata"]


def test_pods_are_scraped_by_annotation_or_by_a_podmonitor_that_is_selected() -> None:
    annotated, monitored = objects(), objects(**EVERYTHING)

    def annotations(rendered: dict[tuple[str, str], Any], name: str) -> list[str]:
        template = rendered["Deployment", name]["spec"]["template"]
        return [key for key in template["metadata"]["annotations"] if key.startswith("prometheus.io/")]

    assert ("PodMonitor", "shop-app") not in annotated
    assert monitored["PodMonitor", "shop-app"]["metadata"]["labels"]["release"] == "prometheus"
    for name in ("shop-web", "shop-worker", "shop-beat"):
        assert annotations(annotated, name) == ["prometheus.io/path", "prometheus.io/port", "prometheus.io/scrape"]
        assert annotations(monitored, name) == []


def test_claim_of_ones_own_takes_the_place_of_the_charts() -> None:
    rendered = objects(media__existingClaim="pictures", media__accessModes=["ReadWriteMany"], web__replicas=2)

    assert ("PersistentVolumeClaim", "shop-media") not in rendered
    volumes = {volume["name"]: volume for volume in pods(rendered)["shop-web"]["volumes"]}
    assert volumes["media"]["persistentVolumeClaim"] == {"claimName": "pictures"}


def test_references_stand_before_what_expands_them() -> None:
    names = [item["name"] for item in pods(objects())["shop-web"]["containers"][0]["env"]]
    assert names.index("POSTGRES_PASSWORD") < names.index("DATABASE_URL")
    assert names.index("VALKEY_PASSWORD") < names.index("REDIS_URL")


def test_nginx_logs_nothing_that_is_personal_or_secret() -> None:
    config = objects()["ConfigMap", "shop-nginx"]["data"]["nginx.conf"]
    (line,) = re.findall(r"log_format line escape=json (.*?);", config, re.DOTALL)

    fields = json.loads(re.sub(r":\$\w+", ":0", re.sub(r"'\s*'", "", line).strip("'")))

    assert sorted(fields) == [
        *("bytes", "event", "host", "level", "logger", "method", "path", "request_id", "seconds", "status"),
        *("timestamp", "upstream_seconds", "user_agent"),
    ]


def test_migrations_go_past_the_pooler() -> None:
    rendered = pods(objects(postgres__mode="cnpg"))
    (job,) = [pod for name, pod in rendered.items() if "migrate" in name]
    direct, pooled = environment(job["containers"][0]), environment(rendered["shop-web"]["containers"][0])
    user = "postgres://django:$(POSTGRES_PASSWORD)"
    assert direct["DATABASE_URL"] == f"{user}@shop-postgres-rw:5432/django"
    assert pooled["DATABASE_URL"] == f"{user}@shop-postgres-pooler:5432/django"
    assert "DATABASE_SERVER_SIDE_CURSORS" not in direct
    assert pooled["DATABASE_SERVER_SIDE_CURSORS"] == "false"


def test_queue_of_an_external_valkey_is_where_the_secret_says_if_it_does() -> None:
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
def test_notes_name_mail_that_goes_to_the_log(values: dict[str, Any], warned: bool) -> None:
    done = helm("install", "shop", str(CHART), "--dry-run=client", *flags(BASE | values))

    assert done.returncode == 0, done.stderr
    assert ("UNSAFE: mail, password reset links included, is written to the worker's log" in done.stdout) is warned


def test_seed_gives_every_renderer_the_same_secrets_and_every_release_others() -> None:
    first = objects()["Secret", "shop-secret"]["data"]
    assert sorted(first) == ["POSTGRES_PASSWORD", "SECRET_KEY", "VALKEY_PASSWORD"]
    assert len(set(first.values())) == 3
    assert objects(release="other")["Secret", "other-secret"]["data"].keys() == first.keys()
    assert not set(objects(release="other")["Secret", "other-secret"]["data"].values()) & set(first.values())


def test_superusers_password_is_seen_by_its_job_alone() -> None:
    rendered = pods(objects(superuser__enabled=True))
    holders = [
        name
        for name, pod in rendered.items()
        for container in pod["containers"] + pod.get("initContainers", [])
        if "DJANGO_SUPERUSER_PASSWORD" in [item["name"] for item in container.get("env", [])]
    ]
    assert len(holders) == 1
    assert holders[0].startswith("shop-superuser-")


def test_own_environment_reaches_every_container_of_the_application() -> None:
    rendered = pods(objects(**EVERYTHING))
    web, worker = rendered["shop-web"]["containers"][0], rendered["shop-worker"]["containers"][0]
    assert environment(web)["FEATURE"] == environment(worker)["FEATURE"] == "on"
    assert environment(web)["TOKEN"] == {"secretKeyRef": {"name": "tokens", "key": "shop"}}
    assert (environment(web)["ONLY_WEB"], environment(web)["HSTS_SECONDS"]) == ("1", "31536000")
    assert environment(web)["AWS_ACCESS_KEY_ID"] == {"configMapKeyRef": {"name": "s3", "key": "id"}}
    assert "ONLY_WEB" not in environment(worker)
    assert {"name": "certificates", "mountPath": "/etc/certificates", "readOnly": True} in web["volumeMounts"]
    assert {"name": "certificates", "configMap": {"name": "ca"}} in rendered["shop-worker"]["volumes"]


@pytest.mark.parametrize("sample", sorted((ROOT / "k8s" / "values").glob("*.yaml")), ids=lambda path: path.stem)
def test_sample_values_render_and_are_linted(sample: Path) -> None:
    # The files are made for secrets of their own, those of Skaffold as additions to local.yaml.
    added = [] if sample.stem in ("production", "gitops") else ["--values", str(sample.parent / "local.yaml"), *SEED]
    for command in (("template", "shop"), ("lint", "--strict")):
        done = helm(*command, str(CHART), *added, "--values", str(sample))
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("checkov"), reason="checkov is not installed: uv tool install checkov")
def test_checkov_finds_nothing_unexplained(tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(text(superuser__enabled=True))
    command = ["checkov", "--config-file", str(CHART.parent / "checkov.yaml"), "--file", str(rendered)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
