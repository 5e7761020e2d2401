{{/* The security context of every container. */}}
{{- define "django.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{/* Image, pull policy and security context of an application container. */}}
{{- define "django.applicationImage" -}}
image: {{ include "django.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- include "django.securityContext" . | nindent 2 }}
{{- end }}

{{/* (dict "root" $ "pod" values): the init container that waits for the migrations, in a YAML list. */}}
{{- define "django.waitContainer" -}}
{{- if .root.Values.migrations.enabled -}}
- name: wait
  {{- include "django.applicationImage" .root | nindent 2 }}
  command: {{ toJson .root.Values.migrations.waitCommand }}
  env: {{- include "django.env" (dict "root" .root) | nindent 4 }}
  resources: {{ toJson .root.Values.migrations.resources }}
  volumeMounts: {{- include "django.volumeMounts" (dict "root" .root "component" "wait" "pod" .pod) | nindent 4 }}
{{- end }}
{{- end }}

{{/* The metrics exporter, in a YAML list: a sidecar, that is an init container with `restartPolicy: Always`, so it ends
after the processes that it measures. */}}
{{- define "django.exporterContainer" -}}
{{- if .Values.metrics.enabled -}}
- name: exporter
  restartPolicy: Always
  {{- include "django.applicationImage" . | nindent 2 }}
  command: {{ toJson .Values.metrics.command }}
  env:
    - name: METRICS_PORT
      value: "8002"
    - name: PROMETHEUS_MULTIPROC_DIR
      value: /run/metrics
  ports:
    - name: metrics
      containerPort: 8002
  livenessProbe:
    tcpSocket: {port: metrics}
  resources: {{ toJson .Values.metrics.resources }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: metrics
      mountPath: /run/metrics
{{- end }}
{{- end }}

{{/* (dict "root" $ "component" "worker"|"beat" "pod" values): the container of a worker or of Beat. */}}
{{- define "django.celeryContainer" -}}
{{- $own := index .root.Values .component }}
{{- $command := $own.command }}
{{- if eq .component "worker" }}{{ $command = concat $command (list "--concurrency" (toString $own.concurrency)) }}{{ end }}
{{- $env := dict "HEARTBEAT_FILE" "/tmp/heartbeat" }}
{{- if .root.Values.metrics.enabled }}{{ $_ := set $env "PROMETHEUS_MULTIPROC_DIR" "/run/metrics" }}{{ end -}}
- name: {{ .component }}
  {{- include "django.applicationImage" .root | nindent 2 }}
  command: {{ toJson $command }}
  env: {{- include "django.env" (dict "root" .root "env" (mergeOverwrite $env ($own.env | default dict))) | nindent 4 }}
  {{- include "django.heartbeatProbes" .root | nindent 2 }}
  resources: {{ toJson $own.resources }}
  volumeMounts: {{- include "django.volumeMounts" . | nindent 4 }}
{{- end }}
