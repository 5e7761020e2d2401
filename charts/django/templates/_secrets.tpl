{{/* "true" if the chart creates the Secret. */}}
{{- define "django.createsSecret" -}}
{{- if has .Values.secrets.mode (list "generate" "seed") }}true{{ end }}
{{- end }}

{{/* The data of the Secret that the chart creates, as JSON. Random values must be the same wherever one render uses them,
so the first call keeps them in `.Values.secrets.made`. */}}
{{- define "django.secretData" -}}
{{- if not (hasKey .Values.secrets "made") }}
  {{- $old := dict }}
  {{- if eq .Values.secrets.mode "generate" }}
    {{- $old = (lookup "v1" "Secret" .Release.Namespace (include "django.secretName" .)).data | default dict }}
    {{- if not (or $old (lookup "v1" "ServiceAccount" .Release.Namespace "default") (lookup "v1" "Namespace" "" "kube-system")) }}
      {{- fail "secrets.mode generate keeps the secrets in the cluster, and this render has no access to one: set secrets.mode to seed, existing or externalSecret, or render with --dry-run=server." }}
    {{- end }}
  {{- end }}
  {{- $needed := dict
    "SECRET_KEY" true
    "POSTGRES_PASSWORD" (eq .Values.postgres.mode "bundled")
    "VALKEY_PASSWORD" (eq .Values.valkey.mode "bundled")
    "DJANGO_SUPERUSER_PASSWORD" .Values.superuser.enabled
  }}
  {{- $data := dict }}
  {{- range $key, $need := $needed }}
    {{- if hasKey $old $key }}
      {{- $_ := set $data $key (index $old $key | b64dec) }}
    {{- else if and $need (eq $.Values.secrets.mode "seed") }}
      {{- $_ := set $data $key (list $.Values.secrets.seed $.Release.Namespace $.Release.Name $key | join "/" | sha256sum) }}
    {{- else if $need }}
      {{- $_ := set $data $key (randAlphaNum 50) }}
    {{- end }}
  {{- end }}
  {{- $_ := set .Values.secrets "made" (mergeOverwrite $data .Values.secrets.stringData) }}
{{- end }}
{{- toJson .Values.secrets.made }}
{{- end }}
