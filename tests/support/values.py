"""Combinations of values that the chart must render, shared by the chart and cluster tests."""

import itertools
from typing import Any

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
    """Returns every combination of modes, and two sets with every optional object."""
    combined = [
        postgres | valkey | media | secrets
        for postgres, valkey, media, secrets in itertools.product(POSTGRES, VALKEY, MEDIA, SECRETS)
    ]
    for values in combined:
        if "secrets.mode" in values:  # the chart creates no Secret in these modes
            for name in ("DATABASE_URL", "REDIS_URL"):
                values.pop(f"secrets.stringData.{name}", None)
    return [*combined, EVERYTHING, EVERYTHING | POSTGRES[1]]
