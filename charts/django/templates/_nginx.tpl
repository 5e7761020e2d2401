{{/* Paths that nginx answers with 404, as a YAML list: metrics and health details are internal. */}}
{{- define "django.internalPaths" -}}
[/metrics, /readyz, /startupz]
{{- end }}

{{- define "django.nginxConfig" -}}
{{ tpl (.Files.Get "files/nginx.conf") . }}
{{- end }}
