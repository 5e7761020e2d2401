{{/* The release's name, cut so that the longest name made of it stays within 63 characters, and within the 52 that a
StatefulSet's may have; what is cut off lives on in a hash, so that two releases never share a name. */}}
{{- define "django.name" -}}
{{- if le (len .Release.Name) 40 }}{{ .Release.Name }}
{{- else }}{{ .Release.Name | trunc 31 | trimSuffix "-" }}-{{ sha256sum .Release.Name | trunc 8 }}
{{- end }}
{{- end }}

{{/* (list $ component): the labels that select a component's pods, which never change. */}}
{{- define "django.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* (list $ component [suffix]): an object's name, namespace and labels; the suffix is its name if it isn't the component. */}}
{{- define "django.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "django.name" $root }}-{{ last . }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- include "django.selector" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
  helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "django.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* What a container may do: nothing beyond its own user's files. */}}
{{- define "django.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{- define "django.secretName" -}}
{{- if eq .Values.secrets.mode "existing" }}{{ .Values.secrets.existing }}{{ else }}{{ include "django.name" . }}-secret{{ end }}
{{- end }}

{{/* The Secret of modes `generate` and `seed`, as JSON. Chance is asked once a render, so the answer is kept. */}}
{{- define "django.secretData" -}}
{{- if not (hasKey .Values.secrets "made") }}
  {{- $old := dict }}
  {{- if eq .Values.secrets.mode "generate" }}
    {{- $old = (lookup "v1" "Secret" .Release.Namespace (include "django.secretName" .)).data | default dict }}
    {{- if not (or $old (lookup "v1" "ServiceAccount" .Release.Namespace "default") (lookup "v1" "Namespace" "" "kube-system")) }}
      {{- fail "secrets.mode generate needs a cluster to keep the secrets in, or every render would make others: set secrets.mode to seed, existing or externalSecret, or render with --dry-run=server." }}
    {{- end }}
  {{- end }}
  {{- $needed := dict "SECRET_KEY" true "POSTGRES_PASSWORD" (eq .Values.postgres.mode "bundled") "VALKEY_PASSWORD" (eq .Values.valkey.mode "bundled") "DJANGO_SUPERUSER_PASSWORD" .Values.superuser.enabled }}
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
  {{- $_ := set .Values.secrets "made" (mergeOverwrite $data .Values.secrets.values) }}
{{- end }}
{{- toJson .Values.secrets.made }}
{{- end }}

{{- define "django.ownSecret" -}}
{{- if has .Values.secrets.mode (list "generate" "seed") }}true{{ end }}
{{- end }}

{{/* PostgreSQL itself, past any pooler; of the modes whose server is the release's own. */}}
{{- define "django.postgresHost" -}}
{{ include "django.name" . }}-postgres{{ if eq .Values.postgres.mode "cnpg" }}-rw{{ end }}
{{- end }}

{{/* (dict "root" $ "env" map ["direct" true]): the environment of the application. References come first, since
`$(NAME)` in a text finds only what stands above it. `direct` goes past a connection pooler. */}}
{{- define "django.env" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $name := include "django.name" $root }}
{{- $secret := include "django.secretName" $root }}
{{- $env := dict
  "DEBUG" $values.django.debug
  "DEFAULT_FROM_EMAIL" ($values.django.defaultFromEmail | default (print "webmaster@" $values.host))
  "DJANGO_HTTPS" $values.django.https
  "LOG_LEVEL" $values.django.logLevel
  "MEDIA_ROOT" "/srv/media"
}}
{{- $_ := set $env "DJANGO_ALLOWED_HOSTS" (include "django.hosts" $root | fromYamlArray | join ",") }}
{{- range list "SECRET_KEY_FALLBACKS" "CELERY_BROKER_URL" "EMAIL_URL" "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
  {{- $_ := set $env . (dict "secretKeyRef" (dict "name" $secret "key" . "optional" true)) }}
{{- end }}
{{- range prepend (keys $values.secrets.values) "SECRET_KEY" }}
  {{- $_ := set $env . (dict "secretKeyRef" (dict "name" $secret "key" .)) }}
{{- end }}
{{- if eq $values.postgres.mode "external" }}
  {{- $_ := set $env "DATABASE_URL" (dict "secretKeyRef" (dict "name" $secret "key" "DATABASE_URL")) }}
{{- else }}
  {{- $host := include "django.postgresHost" $root }}
  {{- $password := dict "name" $secret "key" "POSTGRES_PASSWORD" }}
  {{- if eq $values.postgres.mode "cnpg" }}
    {{- $password = dict "name" (print $name "-postgres-app") "key" "password" }}
    {{- if and $values.postgres.cnpg.poolers (not .direct) }}
      {{- $host = print $name "-postgres-pooler" }}
      {{- /* A pooler gives each transaction another session, and a cursor lives in one. */}}
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
  {{- /* A database of its own: clearing the cache empties the database that the cache is in. */}}
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
{{- range $key := keys $values.secrets.values | sortAlpha }}
  {{- if ne (index $env $key | toJson) (dict "secretKeyRef" (dict "name" $secret "key" $key) | toJson) }}
    {{- fail (printf "The chart, or a value of env, sets %s already: remove secrets.values.%s. The address of a server of your own needs postgres.mode or valkey.mode external." $key $key) }}
  {{- end }}
{{- end }}
{{- range $key, $value := $env }}
  {{- if kindIs "map" $value }}
- name: {{ $key }}
  valueFrom: {{ toJson $value }}
  {{- end }}
{{- end }}
{{- range $key, $value := $env }}
  {{- if not (kindIs "map" $value) }}
- name: {{ $key }}
  {{- /* As JSON, since a large number's own text is 3e+07. */}}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* (list $ own): what the pods of the application have in common, with the component's own `pod` values. */}}
{{- define "django.podValues" -}}
{{- mergeOverwrite (deepCopy (index . 0).Values.pod) (deepCopy (index . 1)) | toJson }}
{{- end }}

{{/* (list $ component own [checksums]): labels and annotations of a pod of the application. */}}
{{- define "django.podMetadata" -}}
{{- $root := index . 0 }}
{{- $pod := include "django.podValues" (list $root (index . 2)) | fromJson }}
{{- $annotations := dict }}
{{- if eq (index . 1) "migrate" }}
  {{- /* Another database needs its migrations. */}}
  {{- with $root.Values.secrets.values.DATABASE_URL }}{{ $_ := set $annotations "checksum/database" (sha256sum .) }}{{ end }}
{{- else if has (index . 1) (list "web" "worker" "beat") }}
  {{- if include "django.ownSecret" $root }}
    {{- $_ := set $annotations "checksum/secret" (omit (include "django.secretData" $root | fromJson) "DJANGO_SUPERUSER_PASSWORD" | toJson | sha256sum) }}
  {{- end }}
  {{- if and $root.Values.metrics.enabled (not $root.Values.metrics.podMonitor.enabled) }}
    {{- $annotations = merge $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/port" "8002" "prometheus.io/path" "/metrics") }}
  {{- end }}
{{- end }}
{{- if eq (index . 1) "web" }}
  {{- $_ := set $annotations "kubectl.kubernetes.io/default-container" "web" }}
  {{- $_ := set $annotations "checksum/nginx" (include "django.nginxConfig" $root | sha256sum) }}
{{- end -}}
{{- include "django.marks" (list $root (index . 1) $pod $annotations) }}
{{- end }}

{{/* (list $ component pod annotations): labels and annotations of any pod, those of its `pod` values among them. */}}
{{- define "django.marks" -}}
{{- $pod := index . 2 -}}
labels:
  {{- include "django.selector" . | nindent 2 }}
  {{- with $pod.labels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with mergeOverwrite (index . 3) ($pod.annotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (list $ user pod): who any pod is, how its images are pulled and where it runs, but for `affinity`. */}}
{{- define "django.anyPodSpec" -}}
{{- $pod := index . 2 -}}
serviceAccountName: {{ include "django.name" (index . 0) }}-app
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ index . 1 }}
  runAsGroup: {{ index . 1 }}
  {{- /* nginx, another user, reads through this group what Gunicorn writes. */}}
  fsGroup: {{ index . 1 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with include "django.pullSecrets" (index . 0) | fromYamlArray }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.tolerations }}
tolerations:
{{- range . }}
  - {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The registries' Secrets, as a list. */}}
{{- define "django.pullSecrets" -}}
{{- range $name, $on := .Values.image.pullSecrets }}{{ if $on }}
- name: {{ $name }}
{{- end }}{{ end }}
{{- end }}

{{/* A pod's own volumes, of its `pod` values, and where its containers see them. */}}
{{- define "django.volumes" -}}
{{- range $name, $volume := .volumes }}
- name: {{ $name }}
  {{- omit $volume "mountPath" "readOnly" "subPath" | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- define "django.mounts" -}}
{{- range $name, $volume := .volumes }}
- name: {{ $name }}
  {{- pick $volume "mountPath" "readOnly" "subPath" | toYaml | nindent 2 }}
{{- end }}
{{- end }}

{{/* (list $ component): labels and annotations of a bundled server's pod. */}}
{{- define "django.serverMetadata" -}}
{{- $root := index . 0 }}
{{- $pod := (index $root.Values (index . 1)).pod }}
{{- $annotations := dict }}
{{- if include "django.ownSecret" $root }}
  {{- $password := index (include "django.secretData" $root | fromJson) (printf "%s_PASSWORD" (upper (index . 1))) }}
  {{- $_ := set $annotations "checksum/password" (sha256sum $password) }}
{{- end -}}
{{- include "django.marks" (list $root (index . 1) $pod $annotations) }}
{{- end }}

{{/* (list $ component): the part of a bundled server's pod that is the same for both. */}}
{{- define "django.serverPodSpec" -}}
{{- $pod := (index (index . 0).Values (index . 1)).pod -}}
{{- include "django.anyPodSpec" (list (index . 0) 999 $pod) }}
{{- with $pod.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (list $ component own): the part of a pod of the application that is the same for each; it ends in `volumes`. */}}
{{- define "django.podSpec" -}}
{{- $root := index . 0 }}
{{- $pod := include "django.podValues" (list $root (index . 2)) | fromJson -}}
{{- include "django.anyPodSpec" (list $root $root.Values.image.user $pod) }}
{{- $affinity := $pod.affinity | default dict }}
{{- if and (eq (index . 1) "web") (eq $root.Values.media.mode "volume") (eq $root.Values.media.accessMode "ReadWriteOnce") }}
  {{- /* The volume is one node's: the next pod starts where the last one still serves. */}}
  {{- $web := dict "matchLabels" (include "django.selector" (list $root "web") | fromYaml) }}
  {{- $beside := list (dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $web) }}
  {{- $affinity = merge $affinity (dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" $beside)) }}
{{- end }}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  {{- with include "django.volumes" $pod }}{{ trim . | nindent 2 }}{{ end }}
{{- end }}

{{/* (dict "root" $ "env" map "pod" own ["direct" true]): image, environment and mounts of a container of the
application; it ends in `volumeMounts`. */}}
{{- define "django.container" -}}
image: {{ include "django.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "django.containerSecurity" .root | nindent 2 }}
env:
  {{- include "django.env" . | trim | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with include "django.mounts" (include "django.podValues" (list .root .pod) | fromJson) }}{{ trim . | nindent 2 }}{{ end }}
{{- end }}

{{/* (list $ own): the init container that holds a pod back until the schema is its image's. */}}
{{- define "django.wait" -}}
{{- $root := index . 0 }}
{{- if $root.Values.migrations.enabled -}}
- name: wait
  command: {{ toJson $root.Values.migrations.waitCommand }}
  resources: {{ toJson $root.Values.migrations.resources }}
  {{- include "django.container" (dict "root" $root "env" dict "pod" (index . 1)) | nindent 2 }}
{{- end }}
{{- end }}

{{/* The sidecar that serves what the processes beside it measured; as an init container that stays it ends after them. */}}
{{- define "django.exporter" -}}
{{- if .Values.metrics.enabled -}}
- name: exporter
  restartPolicy: Always
  image: {{ include "django.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{ toJson .Values.metrics.command }}
  securityContext: {{- include "django.containerSecurity" . | nindent 4 }}
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

{{/* Probes of a process without a port: the age of the file that it touches, asked without starting Python. */}}
{{- define "django.heartbeat" -}}
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

{{/* (list command seconds): asks a bundled server whether it answers; its start may take that long. */}}
{{- define "django.serverProbes" -}}
{{- $command := index . 0 }}
{{- range $probe, $rate := dict "startupProbe" (dict "periodSeconds" 1 "failureThreshold" (index . 1)) "livenessProbe" (dict "periodSeconds" 10 "failureThreshold" 5) "readinessProbe" (dict "periodSeconds" 10) }}
{{ $probe }}:
  exec: {command: {{ toJson $command }}}
  timeoutSeconds: 5
  {{- toYaml $rate | nindent 2 }}
{{- end }}
{{- end }}

{{/* Waiting for a long migration is no failure of a Deployment. */}}
{{- define "django.progressDeadline" -}}
{{- if .Values.migrations.enabled -}}
progressDeadlineSeconds: {{ add .Values.migrations.deadline 600 }}
{{- end }}
{{- end }}

{{/* (list $ component replicas): spread pods over nodes where there are several of both. */}}
{{- define "django.spread" -}}
{{- if gt (int (index . 2)) 1 -}}
topologySpreadConstraints:
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "django.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{/* The number of pods that there are at least, and at most: `django.pods` (list section "min"|"max"). */}}
{{- define "django.pods" -}}
{{- $section := index . 0 }}
{{- if $section.autoscaling.enabled }}{{ index $section.autoscaling (index . 1) }}{{ else }}{{ $section.replicas }}{{ end }}
{{- end }}

{{/* The connections that the pods may open: each thread keeps one, and each process one for its health. During an upgrade
each pod that is there already may still end its work beside each new one. */}}
{{- define "django.connections" -}}
{{- $web := mul 2 (include "django.pods" (list .Values.web "max")) .Values.web.workers (add .Values.web.threads 1) }}
{{- $worker := mul 2 (include "django.pods" (list .Values.worker "max")) .Values.worker.concurrency }}
{{- add $web (ternary $worker 0 .Values.worker.enabled) }}
{{- end }}

{{/* What nginx answers 404 to, as a list: measurements and the details of health are the cluster's own business. */}}
{{- define "django.closedPaths" -}}
[/metrics, /readyz, /startupz]
{{- end }}

{{/* Values that don't go together: each is refused with what to do. */}}
{{- define "django.check" -}}
{{- $values := .Values }}
{{- $web := include "django.pods" (list .Values.web "max") | int }}
{{- if not .Values.host }}
  {{- fail "host is empty: set it to the name that people type, such as --set host=shop.example.org." }}
{{- end }}
{{- range include "django.hosts" . | fromYamlArray }}
  {{- if not (regexMatch "^[.]?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" .) }}
    {{- fail (printf "%q is no host name: write host and django.allowedHosts as shop.example.org, or .example.org for the names below it." .) }}
  {{- end }}
{{- end }}
{{- range $name, $path := pick .Values.web.health "live" "ready" "startup" }}
  {{- if and (eq (int $values.web.health.port) 8080) (has $path (include "django.closedPaths" $ | fromYamlArray)) }}
    {{- fail (printf "web.health.port 8080 is nginx's, which answers 404 to %s: set web.health.%s to a page that answers there, or to an empty text." $path $name) }}
  {{- end }}
{{- end }}
{{- if and (eq .Values.media.mode "volume") (eq .Values.media.accessMode "ReadWriteOnce") (gt $web 1) }}
  {{- fail "More than one web pod can't share a ReadWriteOnce volume: keep one web pod, set media.mode to s3, or set media.accessMode to ReadWriteMany with a storageClass that has it. A claim that was made already can't change: make another one, copy the files and set media.existingClaim to it." }}
{{- end }}
{{- if and (eq .Values.media.mode "s3") (not .Values.media.s3.bucket) }}
  {{- fail "media.mode s3 has no bucket: set media.s3.bucket." }}
{{- end }}
{{- if and (eq .Values.secrets.mode "seed") (lt (len .Values.secrets.seed) 32) }}
  {{- fail "secrets.mode seed needs secrets.seed of 32 characters or more: make one with `openssl rand -hex 32` and keep it." }}
{{- end }}
{{- if and (eq .Values.secrets.mode "existing") (not .Values.secrets.existing) }}
  {{- fail "secrets.mode existing has no Secret: set secrets.existing to its name." }}
{{- end }}
{{- if and (eq .Values.secrets.mode "externalSecret") (not (and .Values.secrets.externalSecret.store .Values.secrets.externalSecret.key)) }}
  {{- fail "secrets.mode externalSecret lacks its source: set secrets.externalSecret.store and secrets.externalSecret.key." }}
{{- end }}
{{- if and .Values.secrets.values (not (include "django.ownSecret" .)) }}
  {{- fail "secrets.values belong to the Secret of modes generate and seed: move them into your own Secret or store." }}
{{- end }}
{{- range $key, $value := pick .Values.secrets.values "POSTGRES_PASSWORD" "VALKEY_PASSWORD" }}
  {{- if not (regexMatch "^[A-Za-z0-9._~-]+$" $value) }}
    {{- fail (printf "secrets.values.%s becomes part of an address: make one of letters and digits, such as by `openssl rand -hex 32`." $key) }}
  {{- end }}
{{- end }}
{{- if include "django.ownSecret" . }}
  {{- range $key, $mode := dict "DATABASE_URL" .Values.postgres.mode "REDIS_URL" .Values.valkey.mode }}
    {{- if and (eq $mode "external") (not (hasKey $values.secrets.values $key)) }}
      {{- fail (printf "An external server needs its address: set secrets.values.%s, or secrets.mode to existing or externalSecret." $key) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $name := list "web" "worker" }}
  {{- with (index $values $name).autoscaling }}
    {{- if and .enabled (gt (int .min) (int .max)) }}
      {{- fail (printf "%s.autoscaling.min is %d and max %d: lower min, or raise max." $name (int .min) (int .max)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and (eq .Values.valkey.mode "none") (or .Values.worker.enabled .Values.beat.enabled) }}
  {{- fail "Celery needs a broker: set valkey.mode to bundled or external, or worker.enabled and beat.enabled to false." }}
{{- end }}
{{- if and .Values.worker.autoscaling.enabled (ne .Values.valkey.mode "bundled") }}
  {{- fail "worker.autoscaling reads the length of the bundled Valkey's queue: set valkey.mode to bundled, or worker.autoscaling.enabled to false and make a ScaledObject of your own." }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parents) }}
  {{- fail "gateway.enabled without a Gateway: set gateway.parents, such as --set gateway.parents.public.namespace=gateways." }}
{{- end }}
{{- if and (eq .Values.postgres.mode "cnpg") .Values.postgres.cnpg.backupSchedule (not .Values.postgres.cnpg.backupPlugin) }}
  {{- fail "postgres.cnpg.backupSchedule has no way to back up: set postgres.cnpg.backupPlugin, as k8s/values/production.yaml does, or empty the schedule." }}
{{- end }}
{{- if or (eq .Values.postgres.mode "bundled") (and (eq .Values.postgres.mode "cnpg") (not .Values.postgres.cnpg.poolers)) }}
  {{- $need := include "django.connections" . | int }}
  {{- $room := sub .Values.postgres.maxConnections 8 | int }}
  {{- if gt $need $room }}
    {{- fail (printf "The pods may open %d connections and postgres.maxConnections leaves them %d (8 are kept for migrations and administrators): raise postgres.maxConnections to %d, or lower web.replicas, web.workers, web.threads or worker.concurrency." $need $room (add $need 8)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* (dict "path" … "port" … "host" …): a probe of the web pod. Another image checks the host name and wants https, so it is told both. */}}
{{- define "django.webProbe" -}}
{{- if .path -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
  httpHeaders:
    - {name: Host, value: {{ quote .host }}}
    - {name: X-Forwarded-Proto, value: https}
{{- else -}}
tcpSocket: {port: {{ .port }}}
{{- end }}
{{- end }}

{{- define "django.otherImage" -}}
{{ .repository }}:{{ .tag }}
{{- end }}

{{/* Whom CloudNativePG's operator makes, as a policy's peers: instances and poolers. */}}
{{- define "django.cnpgPods" -}}
- podSelector:
    matchLabels:
      cnpg.io/cluster: {{ include "django.name" . }}-postgres
- podSelector:
    matchLabels:
      cnpg.io/poolerName: {{ include "django.name" . }}-postgres-pooler
{{- end }}

{{- define "django.metricsVolume" -}}
{{- if .Values.metrics.enabled -}}
- name: metrics
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.metrics.size }}}
{{- end }}
{{- end }}

{{/* (list $ section): the container of a worker or of beat. */}}
{{- define "django.celeryContainer" -}}
{{- $root := index . 0 }}
{{- $section := index . 1 }}
{{- $env := dict "HEARTBEAT_FILE" "/tmp/heartbeat" }}
{{- if $root.Values.metrics.enabled }}{{ $_ := set $env "PROMETHEUS_MULTIPROC_DIR" "/run/metrics" }}{{ end }}
{{- include "django.container" (dict "root" $root "env" (merge (deepCopy ($section.env | default dict)) $env) "pod" $section.pod) }}
{{- if $root.Values.metrics.enabled }}
  - name: metrics
    mountPath: /run/metrics
{{- end }}
{{- end }}

{{/* Every host name that is answered to, as a list. */}}
{{- define "django.hosts" -}}
- {{ quote .Values.host }}
{{- range $host, $on := .Values.django.allowedHosts }}{{ if $on }}
- {{ quote $host }}
{{- end }}{{ end }}
{{- end }}

{{/* The same for what routes to the pods, where a name below one is `*.` and not Django's `.`. */}}
{{- define "django.routedHosts" -}}
{{ include "django.hosts" . | replace "- \"." "- \"*." }}
{{- end }}
