{{/* How helpers are called, in every file here: one that needs only the root context takes it as it is,
`include "django.fullname" .`; one that needs more takes a dict with the root context as `root`,
`include "django.labels" (dict "root" . "component" "web")`. */}}

{{/* The release's name. Cut to 40 characters, so that no name made of it exceeds 63, or 52 for a StatefulSet; a hash keeps
the names of two long releases apart. */}}
{{- define "django.fullname" -}}
{{- if le (len .Release.Name) 40 }}{{ .Release.Name }}
{{- else }}{{ .Release.Name | trunc 31 | trimSuffix "-" }}-{{ sha256sum .Release.Name | trunc 8 }}
{{- end }}
{{- end }}

{{- define "django.serviceAccountName" -}}
{{ include "django.fullname" . }}-app
{{- end }}

{{- define "django.secretName" -}}
{{- if eq .Values.secrets.mode "existing" }}{{ .Values.secrets.existingSecret }}{{ else }}{{ include "django.fullname" . }}-secret{{ end }}
{{- end }}

{{/* The host of PostgreSQL itself, not of a pooler; for the modes `bundled` and `cnpg`. */}}
{{- define "django.postgresHost" -}}
{{ include "django.fullname" . }}-postgres{{ if eq .Values.postgres.mode "cnpg" }}-rw{{ end }}
{{- end }}

{{/* The image of the application. */}}
{{- define "django.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* All host names that are served, as a YAML list. */}}
{{- define "django.hosts" -}}
- {{ quote .Values.host }}
{{- range $host, $enabled := .Values.django.allowedHosts }}{{ if $enabled }}
- {{ quote $host }}
{{- end }}{{ end }}
{{- end }}

{{/* The same for Ingress and HTTPRoute, which write a wildcard as `*.example.org` where Django has `.example.org`. */}}
{{- define "django.routedHosts" -}}
{{ include "django.hosts" . | replace "- \"." "- \"*." }}
{{- end }}
