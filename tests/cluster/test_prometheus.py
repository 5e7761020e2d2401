"""A real Prometheus that finds the pods by what the chart says of them."""

import json
from urllib.parse import quote

from tests.cluster.cluster import Release, until

# It sees the pods of its own namespace and asks those that are annotated, where their annotation says.
MANIFESTS = """
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ServiceAccount
    metadata: {name: prometheus}
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata: {name: prometheus}
    rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}]
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata: {name: prometheus}
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: prometheus}
    subjects: [{kind: ServiceAccount, name: prometheus}]
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: prometheus}
    data:
      prometheus.yml: |
        global: {scrape_interval: 2s}
        scrape_configs:
          - job_name: pods
            kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]
            relabel_configs:
              - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
                action: keep
                regex: "true"
              - source_labels: [__meta_kubernetes_pod_container_port_name]
                action: keep
                regex: metrics
              - source_labels: [__meta_kubernetes_pod_phase]
                action: keep
                regex: Running
              - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
                target_label: __metrics_path__
              - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
                separator: ":"
                target_label: __address__
              - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component]
                target_label: component
  - apiVersion: v1
    kind: Pod
    metadata: {name: prometheus}
    spec:
      serviceAccountName: prometheus
      securityContext: {runAsNonRoot: true, runAsUser: 65534, fsGroup: 65534, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: prometheus
          image: prom/prometheus:v3.5.3
          args: [--config.file=/etc/prometheus/prometheus.yml, --storage.tsdb.path=/data]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          readinessProbe: {httpGet: {path: /-/ready, port: 9090}, periodSeconds: 1}
          volumeMounts: [{name: configuration, mountPath: /etc/prometheus}, {name: data, mountPath: /data}]
      volumes: [{name: configuration, configMap: {name: prometheus}}, {name: data, emptyDir: {}}]
"""


def test_every_pod_is_scraped_and_totals_are_the_requests_sent(release: Release) -> None:
    release.install()
    release.kubectl("apply", "--filename", "-", stdin=MANIFESTS)
    release.kubectl("wait", "pod/prometheus", "--for=condition=Ready", "--timeout=90s")

    def ask(query: str) -> dict[str, float]:
        """The query's values by component."""
        path = f"/api/v1/namespaces/{release.namespace}/pods/prometheus:9090/proxy/api/v1/query?query={quote(query)}"
        results = json.loads(release.kubectl("get", "--raw", path))["data"]["result"]
        return {result["metric"].get("component", ""): float(result["value"][1]) for result in results}

    def sent() -> float:
        name = "django_http_requests_total_by_view_transport_method_total"
        return ask(f'sum({name}{{view="accounts:sign_up", method="GET"}})').get("", 0.0)

    up = {"web": 1.0, "worker": 1.0, "beat": 1.0}
    until(lambda: ask("up") == up, 60, "web, worker and beat are scraped")
    before = sent()
    session = release.session()
    for _ in range(100):
        session.get(f"{release.url}/accounts/sign-up/")
    until(lambda: sent() - before == 100, 20, "the hundred requests are counted, each once")
    assert ask('sum by (component) (celery_beat_tasks_total{task=~".*report.*"})')["beat"] >= 1
    release.kubectl("delete", "pod/prometheus", "--now")
