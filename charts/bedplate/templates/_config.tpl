{{/* The operator's configuration file: operator/src/config.rs. */}}
{{- define "bedplate.config" -}}
cluster:
  images:
    dataset: {{ include "bedplate.image" (dict "root" . "component" "dataset") }}
    trainer: {{ include "bedplate.image" (dict "root" . "component" "trainer") }}
    inference: {{ include "bedplate.image" (dict "root" . "component" "inference") }}
    pullPolicy: {{ .Values.image.pullPolicy }}
    pullSecrets: {{ toJson .Values.image.pullSecrets }}
  storage:
    claim: {{ .Values.storage.claim }}
  inputs:
    claim: {{ .Values.inputs.claim }}
  progress:
    url: {{ .Values.progress.url | default (printf "https://%s.%s.svc:8443" (include "bedplate.operator" .) .Release.Namespace) }}
  {{- with .Values.otlp.endpoint }}
  otlpEndpoint: {{ . }}
  {{- end }}
  podDefaults:
    {{- range $component, $resources := .Values.podDefaults }}
    {{ $component }}:
      {{- range $side, $quantities := $resources }}
      {{ $side }}:{{ if not $quantities }} {}{{ end }}
        {{- range $name, $quantity := $quantities }}
        {{ $name }}: {{ $quantity | toString | quote }}
        {{- end }}
      {{- end }}
    {{- end }}
http: 0.0.0.0:8080
progress:
  address: 0.0.0.0:8443
  tlsDir: /etc/bedplate/tls
leaderElection:
  namespace: {{ .Release.Namespace }}
  name: {{ include "bedplate.operator" . }}
workers: {{ .Values.operator.workers }}
watchNamespaces: {{ toJson .Values.operator.watchNamespaces }}
{{- end }}
