{{/* Names, labels and what more than one template needs. */}}

{{- define "bedplate.operator" -}}
{{ printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bedplate.migrations" -}}
{{ printf "%s-migrations" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bedplate.postgres" -}}
{{ printf "%s-postgres" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bedplate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bedplate
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* Takes (dict "root" $ "component" NAME): what Services and policies select pods by; it never changes between versions. */}}
{{- define "bedplate.selector" -}}
app.kubernetes.io/name: bedplate-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Takes (dict "root" $ "component" NAME). */}}
{{- define "bedplate.image" -}}
{{ .root.Values.image.registry }}/bedplate-{{ .component }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "bedplate.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* PodSecurity "restricted"; the user of `cargo xtask image`. */}}
{{- define "bedplate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "bedplate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "bedplate.tlsSecret" -}}
{{ .Values.progress.tls.existingSecret | default (printf "%s-tls" (include "bedplate.operator" .)) }}
{{- end }}

{{- define "bedplate.hasDatabase" -}}
{{- if or .Values.postgres.bundled.enabled .Values.postgres.externalSecret.name }}true{{ end }}
{{- end }}

{{/* The environment variable with the DSN, from the bundled server's Secret or from the one that the values name. */}}
{{- define "bedplate.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
    {{- if .Values.postgres.bundled.enabled }}
      name: {{ include "bedplate.postgres" . }}
      key: DATABASE_URL
    {{- else }}
      name: {{ .Values.postgres.externalSecret.name }}
      key: {{ .Values.postgres.externalSecret.key }}
    {{- end }}
{{- end }}
