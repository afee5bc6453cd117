{{/* Base of all names: the release, with the chart's name unless it holds it already. */}}
{{- define "kok.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which pods are selected; `operator` may be empty. */}}
{{- define "kok.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .operator }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels of every object of the chart. */}}
{{- define "kok.labels" -}}
{{ include "kok.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kok
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end -}}

{{- define "kok.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What is deployed, as JSON {"name": {operators, replicas, resources}}: a Deployment with a service
account of its own for each operator, or one for all of them.
*/}}
{{- define "kok.deployments" -}}
{{- $out := dict -}}
{{- $enabled := list -}}
{{- range $name := list "etcd" "cluster" "machine" -}}
{{- $given := index $.Values.operators $name -}}
{{- if $given.enabled -}}
{{- $enabled = append $enabled $name -}}
{{- $_ := set $out $name (dict "operators" (list $name) "replicas" $given.replicas "resources" $given.resources) -}}
{{- end -}}
{{- end -}}
{{- if .Values.singleProcess -}}
{{- if lt (len $enabled) 3 -}}
{{- fail "singleProcess runs all operators: leave operators.*.enabled true, or set singleProcess to false" -}}
{{- end -}}
{{- $out = dict "operator" (dict "operators" $enabled "replicas" .Values.single.replicas "resources" .Values.single.resources) -}}
{{- end -}}
{{- if not $out -}}
{{- fail "every operator is turned off: set operators.<name>.enabled for one at least" -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{/* Rules of one kind (`cluster`, `namespaced`, `release`) for some operators, each rule once. */}}
{{- define "kok.rules" -}}
{{- $rules := list -}}
{{- range $name := concat (list "common") .operators -}}
{{- $file := $.root.Files.Get (printf "files/rbac/%s.yaml" $name) | fromYaml -}}
{{- range $rule := index $file $.of | default list -}}
{{- if not (has $rule $rules) -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
