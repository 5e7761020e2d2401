{{/* (dict "root" $ "own" values): the pod values of an application component as JSON: the chart's top-level ones and, over
them, the component's own. PostgreSQL and Valkey use their own values only. */}}
{{- define "django.podValues" -}}
{{- $pod := dict }}
{{- range $key := list "podLabels" "podAnnotations" "nodeSelector" "affinity" }}
  {{- $_ := set $pod $key (mergeOverwrite (deepCopy (index $.root.Values $key)) (index $.own $key | default dict | deepCopy)) }}
{{- end }}
{{- range $key := list "tolerations" "extraVolumes" "extraVolumeMounts" }}
  {{- $_ := set $pod $key (concat (index $.root.Values $key) (index $.own $key | default list)) }}
{{- end }}
{{- $_ := set $pod "priorityClassName" (.own.priorityClassName | default .root.Values.priorityClassName) }}
{{- toJson $pod }}
{{- end }}

{{/* (dict "root" $ "component" name "pod" values): labels and annotations of a pod. The checksums restart pods whose
configuration changed. */}}
{{- define "django.podMetadata" -}}
{{- $root := .root }}
{{- $application := has .component (list "web" "worker" "beat") }}
{{- $annotations := dict }}
{{- if eq .component "migrate" }}
  {{- /* Part of the Job's name: another database needs its migrations. */}}
  {{- with $root.Values.secrets.stringData.DATABASE_URL }}{{ $_ := set $annotations "checksum/database" (sha256sum .) }}{{ end }}
{{- end }}
{{- if and $application (include "django.createsSecret" $root) }}
  {{- $data := omit (include "django.secretData" $root | fromJson) "DJANGO_SUPERUSER_PASSWORD" }}
  {{- $_ := set $annotations "checksum/secret" (toJson $data | sha256sum) }}
{{- end }}
{{- if and $application $root.Values.metrics.enabled (not $root.Values.metrics.podMonitor.enabled) }}
  {{- $annotations = merge $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/port" "8002" "prometheus.io/path" "/metrics") }}
{{- end }}
{{- if eq .component "web" }}
  {{- $_ := set $annotations "kubectl.kubernetes.io/default-container" "web" }}
  {{- $_ := set $annotations "checksum/nginx" (include "django.nginxConfig" $root | sha256sum) }}
{{- end }}
{{- if and (has .component (list "postgres" "valkey")) (include "django.createsSecret" $root) }}
  {{- $password := index (include "django.secretData" $root | fromJson) (printf "%s_PASSWORD" (upper .component)) }}
  {{- $_ := set $annotations "checksum/password" (sha256sum $password) }}
{{- end -}}
labels:
  {{- include "django.selectorLabels" . | nindent 2 }}
  {{- with .pod.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with mergeOverwrite $annotations .pod.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "component" name "pod" values): identity, security and scheduling of a pod. */}}
{{- define "django.podSpec" -}}
{{- /* The official images of PostgreSQL and Valkey have user 999. */}}
{{- $user := ternary 999 .root.Values.image.runAsUser (has .component (list "postgres" "valkey")) -}}
serviceAccountName: {{ include "django.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  # nginx runs as another user and reads Gunicorn's files through this group.
  fsGroup: {{ $user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := .pod.affinity }}
{{- if and (eq .component "web") (eq .root.Values.media.mode "volume") (has "ReadWriteOnce" .root.Values.media.accessModes) }}
  {{- /* A ReadWriteOnce volume belongs to one node: the new pod must start beside the old one. */}}
  {{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "django.selectorLabels" . | fromYaml)) }}
  {{- $affinity = merge (deepCopy $affinity) (dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term))) }}
{{- end }}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "component" name "pod" values): the volumes that every pod of the application has, as a YAML list. */}}
{{- define "django.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if and .root.Values.metrics.enabled (has .component (list "web" "worker" "beat")) }}
- name: metrics
  emptyDir: {medium: Memory, sizeLimit: {{ .root.Values.metrics.sizeLimit }}}
{{- end }}
{{- with .pod.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "component" name "pod" values): the mounts of `django.volumes` in an application container, as a YAML
list. */}}
{{- define "django.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if and .root.Values.metrics.enabled (has .component (list "web" "worker" "beat")) }}
- name: metrics
  mountPath: /run/metrics
{{- end }}
{{- with .pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "component" "web"|"worker"): spreads the pods of a component over nodes. */}}
{{- define "django.topologySpread" -}}
{{- if gt (include "django.maxReplicas" . | int) 1 -}}
topologySpreadConstraints:
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "django.selectorLabels" . | nindent 8 }}
{{- end }}
{{- end }}

{{/* A rollout that waits for a long migration has not failed. */}}
{{- define "django.progressDeadline" -}}
{{- if .Values.migrations.enabled -}}
progressDeadlineSeconds: {{ add .Values.migrations.activeDeadlineSeconds 600 }}
{{- end }}
{{- end }}
