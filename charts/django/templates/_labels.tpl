{{/* (dict "root" $ "component" name): the labels that select a component's pods. They are immutable. */}}
{{- define "django.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* (dict "root" $ "component" name): the labels of an object. */}}
{{- define "django.labels" -}}
{{ include "django.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* (dict "root" $ "component" name ["name" name] ["labels" map]): name, namespace and labels of an object. Its name
ends in `name`, or in the component's name without it. */}}
{{- define "django.metadata" -}}
name: {{ include "django.fullname" .root }}-{{ .name | default .component }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "django.labels" . | nindent 2 }}
  {{- with .labels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
