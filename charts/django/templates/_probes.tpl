{{/* (dict "root" $ "path" text): the handler of a probe of the web container. Other images check the host name and
redirect to HTTPS, so the request has both headers. */}}
{{- define "django.webProbe" -}}
{{- $port := .root.Values.web.probes.port }}
{{- if .path -}}
httpGet:
  path: {{ .path }}
  port: {{ $port }}
  httpHeaders:
    - {name: Host, value: {{ quote .root.Values.host }}}
    - {name: X-Forwarded-Proto, value: https}
{{- else -}}
tcpSocket: {port: {{ $port }}}
{{- end }}
{{- end }}

{{/* Probes of a process without a port, by the age of its heartbeat file. A shell costs less than Python here. */}}
{{- define "django.heartbeatProbes" -}}
{{- if .Values.worker.heartbeat -}}
{{- $age := "test $(($(date +%s) - $(stat -c %Y \"$HEARTBEAT_FILE\"))) -lt 60" -}}
startupProbe:
  exec: {command: [sh, -c, {{ quote $age }}]}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  exec: {command: [sh, -c, {{ quote $age }}]}
  periodSeconds: 20
  timeoutSeconds: 5
{{- end }}
{{- end }}

{{/* (dict "root" $ "command" list "startupSeconds" number): the probes of PostgreSQL and Valkey. */}}
{{- define "django.serverProbes" -}}
startupProbe:
  exec: {command: {{ toJson .command }}}
  timeoutSeconds: 5
  periodSeconds: 1
  failureThreshold: {{ .startupSeconds }}
livenessProbe:
  exec: {command: {{ toJson .command }}}
  timeoutSeconds: 5
  periodSeconds: 10
  failureThreshold: 5
readinessProbe:
  exec: {command: {{ toJson .command }}}
  timeoutSeconds: 5
  periodSeconds: 10
{{- end }}
