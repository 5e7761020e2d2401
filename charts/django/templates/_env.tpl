{{/* (dict "root" $ ["env" map] ["direct" true]): the environment of an application container, as a YAML list. `env` adds to
the chart's variables and `.Values.env`; `direct` bypasses the connection pooler. Secret references come first: Kubernetes
expands `$(NAME)` only if NAME is defined above. */}}
{{- define "django.env" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $name := include "django.fullname" $root }}
{{- $secret := include "django.secretName" $root }}
{{- $env := dict
  "DEBUG" $values.django.debug
  "DEFAULT_FROM_EMAIL" ($values.django.defaultFromEmail | default (print "webmaster@" $values.host))
  "DJANGO_ALLOWED_HOSTS" (include "django.hosts" $root | fromYamlArray | join ",")
  "DJANGO_HTTPS" $values.django.https
  "LOG_LEVEL" $values.django.logLevel
  "MEDIA_ROOT" "/srv/media"
}}
{{- range list "SECRET_KEY_FALLBACKS" "CELERY_BROKER_URL" "EMAIL_URL" "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
  {{- $_ := set $env . (dict "secretKeyRef" (dict "name" $secret "key" . "optional" true)) }}
{{- end }}
{{- range prepend (keys $values.secrets.stringData) "SECRET_KEY" }}
  {{- $_ := set $env . (dict "secretKeyRef" (dict "name" $secret "key" .)) }}
{{- end }}
{{- if eq $values.postgres.mode "external" }}
  {{- $_ := set $env "DATABASE_URL" (dict "secretKeyRef" (dict "name" $secret "key" "DATABASE_URL")) }}
{{- else }}
  {{- $host := include "django.postgresHost" $root }}
  {{- $password := dict "name" $secret "key" "POSTGRES_PASSWORD" }}
  {{- if eq $values.postgres.mode "cnpg" }}
    {{- $password = dict "name" (print $name "-postgres-app") "key" "password" }}
    {{- if and $values.postgres.cnpg.poolerInstances (not .direct) }}
      {{- $host = print $name "-postgres-pooler" }}
      {{- /* In transaction pooling a server-side cursor is lost with its transaction. */}}
      {{- $_ := set $env "DATABASE_SERVER_SIDE_CURSORS" false }}
    {{- end }}
  {{- end }}
  {{- $_ := set $env "POSTGRES_PASSWORD" (dict "secretKeyRef" $password) }}
  {{- $_ := set $env "DATABASE_URL" (printf "postgres://%s:$(POSTGRES_PASSWORD)@%s:5432/%s" $values.postgres.database $host $values.postgres.database) }}
{{- end }}
{{- if eq $values.valkey.mode "external" }}
  {{- $_ := set $env "REDIS_URL" (dict "secretKeyRef" (dict "name" $secret "key" "REDIS_URL")) }}
{{- else if eq $values.valkey.mode "bundled" }}
  {{- $_ := set $env "VALKEY_PASSWORD" (dict "secretKeyRef" (dict "name" $secret "key" "VALKEY_PASSWORD")) }}
  {{- $_ := set $env "REDIS_URL" (printf "redis://:$(VALKEY_PASSWORD)@%s-valkey:6379/0" $name) }}
  {{- /* A database of its own: clearing the cache flushes the cache's database. */}}
  {{- $_ := set $env "CELERY_BROKER_URL" (printf "redis://:$(VALKEY_PASSWORD)@%s-valkey:6379/1" $name) }}
{{- end }}
{{- if eq $values.media.mode "s3" }}
  {{- $_ := set $env "AWS_STORAGE_BUCKET_NAME" $values.media.s3.bucket }}
  {{- with $values.media.s3.endpoint }}{{ $_ := set $env "AWS_S3_ENDPOINT_URL" . }}{{ end }}
  {{- with $values.media.s3.region }}{{ $_ := set $env "AWS_S3_REGION_NAME" . }}{{ end }}
{{- end }}
{{- range list $values.env .env }}
  {{- range $key, $value := . }}{{ $_ := set $env $key $value }}{{ end }}
{{- end }}
{{- range $key := keys $values.secrets.stringData | sortAlpha }}
  {{- if ne (index $env $key | toJson) (dict "secretKeyRef" (dict "name" $secret "key" $key) | toJson) }}
    {{- fail (printf "%s is already set by the chart or by env: remove secrets.stringData.%s. For the address of an external server set postgres.mode or valkey.mode to external." $key $key) }}
  {{- end }}
{{- end }}
{{- $references := list }}
{{- $texts := list }}
{{- range $key, $value := $env }}
  {{- if kindIs "map" $value }}
    {{- $references = append $references (dict "name" $key "valueFrom" $value) }}
  {{- else }}
    {{- /* toJson, since a large number prints as 3e+07. */}}
    {{- $texts = append $texts (dict "name" $key "value" (ternary $value (toJson $value) (kindIs "string" $value))) }}
  {{- end }}
{{- end }}
{{- concat $references $texts | toYaml }}
{{- end }}
