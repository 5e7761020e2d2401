{{/* The pods of CloudNativePG's Cluster and Pooler, as a YAML list of policy peers. */}}
{{- define "django.cnpgPeers" -}}
- podSelector:
    matchLabels:
      cnpg.io/cluster: {{ include "django.fullname" . }}-postgres
- podSelector:
    matchLabels:
      cnpg.io/poolerName: {{ include "django.fullname" . }}-postgres-pooler
{{- end }}

{{/* (dict "root" $ "component" "postgres"|"valkey" "port" number): a bundled server accepts connections of the release's
pods only, and opens none. */}}
{{- define "django.serverNetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "django.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "django.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ .root.Chart.Name }}
              app.kubernetes.io/instance: {{ .root.Release.Name }}
        {{- if and (eq .component "valkey") .root.Values.worker.autoscaling.enabled }}
        # KEDA reads the length of the queue.
        - namespaceSelector: {}
          podSelector:
            matchLabels: {app: keda-operator}
        {{- end }}
      ports:
        - {port: {{ .port }}}
{{- end }}
