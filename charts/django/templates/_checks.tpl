{{/* Refuses values that do not work, with the remedy; the schema checks types and names. */}}
{{- define "django.checks" -}}
{{- include "django.checkRenamed" . }}
{{- include "django.checkHosts" . }}
{{- include "django.checkSecrets" . }}
{{- include "django.checkMedia" . }}
{{- include "django.checkServers" . }}
{{- include "django.checkScale" . }}
{{- end }}

{{/* files/renamed-values.yaml has the values of earlier versions; the schema admits them, so that they are refused here
with their new names. */}}
{{- define "django.checkRenamed" -}}
{{- $renamed := list }}
{{- range $old, $new := .Files.Get "files/renamed-values.yaml" | fromYaml }}
  {{- $section := $.Values }}
  {{- $path := splitList "." $old }}
  {{- range initial $path }}
    {{- $section = ternary (index $section .) dict (kindIs "map" (index $section .)) }}
  {{- end }}
  {{- if hasKey $section (last $path) }}
    {{- $renamed = append $renamed (printf "%s is now %s" $old $new) }}
  {{- end }}
{{- end }}
{{- with $renamed }}
  {{- fail (printf "Renamed values (docs/upgrade.md): %s." (join "; " .)) }}
{{- end }}
{{- end }}

{{- define "django.checkHosts" -}}
{{- if not .Values.host }}
  {{- fail "host is empty: set it to the public host name, for example --set host=shop.example.org." }}
{{- end }}
{{- range include "django.hosts" . | fromYamlArray }}
  {{- if not (regexMatch "^[.]?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" .) }}
    {{- fail (printf "%q is not a host name: set host and django.allowedHosts to names such as shop.example.org, or .example.org for its subdomains." .) }}
  {{- end }}
{{- end }}
{{- range $name, $path := pick .Values.web.probes "livenessPath" "readinessPath" "startupPath" }}
  {{- if and (eq (int $.Values.web.probes.port) 8080) (has $path (include "django.internalPaths" $ | fromYamlArray)) }}
    {{- fail (printf "web.probes.port 8080 is nginx, which answers %s with 404: set web.probes.%s to a page of the application, or to an empty string for a TCP probe." $path $name) }}
  {{- end }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
  {{- fail "httpRoute.enabled needs a Gateway: set httpRoute.parentRefs, for example --set httpRoute.parentRefs[0].name=public." }}
{{- end }}
{{- end }}

{{- define "django.checkSecrets" -}}
{{- $secrets := .Values.secrets }}
{{- if and (eq $secrets.mode "seed") (lt (len $secrets.seed) 32) }}
  {{- fail "secrets.mode seed needs secrets.seed with at least 32 random characters: generate it with `openssl rand -hex 32` and keep it." }}
{{- end }}
{{- if and (eq $secrets.mode "existing") (not $secrets.existingSecret) }}
  {{- fail "secrets.mode existing needs a Secret: set secrets.existingSecret to its name." }}
{{- end }}
{{- if and (eq $secrets.mode "externalSecret") (not (and $secrets.externalSecret.secretStoreRef.name $secrets.externalSecret.key)) }}
  {{- fail "secrets.mode externalSecret needs a store and an entry: set secrets.externalSecret.secretStoreRef.name and secrets.externalSecret.key." }}
{{- end }}
{{- if and $secrets.stringData (not (include "django.createsSecret" .)) }}
  {{- fail "secrets.stringData is only used in modes generate and seed: move it to your own Secret or store." }}
{{- end }}
{{- range $key, $value := pick $secrets.stringData "POSTGRES_PASSWORD" "VALKEY_PASSWORD" }}
  {{- if not (regexMatch "^[A-Za-z0-9._~-]+$" $value) }}
    {{- fail (printf "secrets.stringData.%s becomes part of a URL: use letters and digits only, for example `openssl rand -hex 32`." $key) }}
  {{- end }}
{{- end }}
{{- if include "django.createsSecret" . }}
  {{- range $key, $mode := dict "DATABASE_URL" .Values.postgres.mode "REDIS_URL" .Values.valkey.mode }}
    {{- if and (eq $mode "external") (not (hasKey $secrets.stringData $key)) }}
      {{- fail (printf "An external server needs its address: set secrets.stringData.%s, or set secrets.mode to existing or externalSecret." $key) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "django.checkMedia" -}}
{{- $web := include "django.maxReplicas" (dict "root" . "component" "web") | int }}
{{- if and (eq .Values.media.mode "volume") (has "ReadWriteOnce" .Values.media.accessModes) (gt $web 1) }}
  {{- fail "Several web pods cannot share a ReadWriteOnce volume: use one web pod, set media.mode to s3, or set media.accessModes to [ReadWriteMany] with a storageClassName that supports it. An existing claim cannot change: create another claim, copy the files and set media.existingClaim." }}
{{- end }}
{{- if and (eq .Values.media.mode "s3") (not .Values.media.s3.bucket) }}
  {{- fail "media.mode s3 needs a bucket: set media.s3.bucket." }}
{{- end }}
{{- end }}

{{- define "django.checkServers" -}}
{{- if and (eq .Values.valkey.mode "none") (or .Values.worker.enabled .Values.beat.enabled) }}
  {{- fail "Celery needs a broker: set valkey.mode to bundled or external, or worker.enabled and beat.enabled to false." }}
{{- end }}
{{- if and (eq .Values.postgres.mode "cnpg") .Values.postgres.cnpg.backupSchedule (not .Values.postgres.cnpg.backupPlugin) }}
  {{- fail "postgres.cnpg.backupSchedule needs a plugin: set postgres.cnpg.backupPlugin as in k8s/values/production.yaml, or empty the schedule." }}
{{- end }}
{{- if or (eq .Values.postgres.mode "bundled") (and (eq .Values.postgres.mode "cnpg") (not .Values.postgres.cnpg.poolerInstances)) }}
  {{- $need := include "django.connections" . | int }}
  {{- $available := sub .Values.postgres.maxConnections 8 | int }}
  {{- if gt $need $available }}
    {{- fail (printf "The pods may open %d database connections and postgres.maxConnections leaves them %d (8 are reserved for migrations and administrators): raise postgres.maxConnections to %d, or lower web.replicas, web.workers, web.threads or worker.concurrency." $need $available (add $need 8)) }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "django.checkScale" -}}
{{- range $component := list "web" "worker" }}
  {{- with (index $.Values $component).autoscaling }}
    {{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
      {{- fail (printf "%s.autoscaling.minReplicas is %d and maxReplicas is %d: lower minReplicas or raise maxReplicas." $component (int .minReplicas) (int .maxReplicas)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and .Values.worker.autoscaling.enabled (ne .Values.valkey.mode "bundled") }}
  {{- fail "worker.autoscaling reads the queue length from the bundled Valkey: set valkey.mode to bundled, or set worker.autoscaling.enabled to false and create your own ScaledObject." }}
{{- end }}
{{- end }}
