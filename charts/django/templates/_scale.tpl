{{/* (dict "root" $ "component" "web"|"worker"): the lowest and the highest number of pods of a component. */}}
{{- define "django.minReplicas" -}}
{{- $own := index .root.Values .component }}
{{- ternary $own.autoscaling.minReplicas $own.replicas $own.autoscaling.enabled }}
{{- end }}
{{- define "django.maxReplicas" -}}
{{- $own := index .root.Values .component }}
{{- ternary $own.autoscaling.maxReplicas $own.replicas $own.autoscaling.enabled }}
{{- end }}

{{/* The highest number of database connections: one per thread, and one per web process for its health checks. Doubled,
since during an upgrade the old pods finish their work beside the new ones. */}}
{{- define "django.connections" -}}
{{- $web := include "django.maxReplicas" (dict "root" . "component" "web") }}
{{- $worker := include "django.maxReplicas" (dict "root" . "component" "worker") }}
{{- $connections := mul 2 $web .Values.web.workers (add .Values.web.threads 1) }}
{{- if .Values.worker.enabled }}
  {{- $connections = add $connections (mul 2 $worker .Values.worker.concurrency) }}
{{- end }}
{{- $connections }}
{{- end }}

{{/* (dict "root" $ "component" "web"|"worker"): a PodDisruptionBudget, if there are at least two pods: with one it would
block every eviction. */}}
{{- define "django.podDisruptionBudget" -}}
{{- if gt (include "django.minReplicas" . | int) 1 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "django.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # Pods that are not ready, for example while the database moves, do not block a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "django.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}
