{{/* Names, labels, images: what every template says the same way. A component is "triton" or "preproc". */}}

{{- define "radserve.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "radserve.triton" -}}{{ include "radserve.fullname" . }}-triton{{- end -}}
{{- define "radserve.preproc" -}}{{ include "radserve.fullname" . }}-preproc{{- end -}}

{{/* Argument of the next three: (list $ component). */}}
{{- define "radserve.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "radserve.labels" -}}
{{- $root := index . 0 -}}
{{ include "radserve.selectorLabels" . }}
app.kubernetes.io/part-of: radserve
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What stands between `metadata:` and what the object adds to it. Argument: (list $ component name). */}}
{{- define "radserve.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "radserve.labels" . | nindent 2 }}
{{- end -}}

{{- define "radserve.annotations" -}}
{{- $all := merge (dict) (index . 1 | default dict) (index . 0).Values.commonAnnotations -}}
{{- with $all }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's reference; the digest counts where there is one. Argument: (list $ image). */}}
{{- define "radserve.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $image.registry $root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "radserve.serviceAccountName" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- $made := printf "%s-%s" (include "radserve.fullname" $root) (index . 1) -}}
{{- ternary (default $made $account.name) (default "default" $account.name) $account.create -}}
{{- end -}}

{{/* Changes with whatever may change an answer: one DNS name per served release, so that a service never asks another one's
Triton (docs/settings.md, "Which Triton answers"). Begins with a letter, as a host name must. */}}
{{- define "radserve.release" -}}
{{- $source := dict
  "repository" (pick .Values.repository "source" "manifestSha256" "pvc" "oci" "s3")
  "variant" .Values.triton.modelConfigName
  "image" (include "radserve.image" (list . .Values.triton.image)) -}}
r{{ $source | toJson | sha256sum | trunc 10 }}
{{- end -}}

{{- define "radserve.tritonDomain" -}}
{{ include "radserve.triton" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{/* The models that the release's pipelines need, as a JSON list. */}}
{{- define "radserve.models" -}}
{{- $known := .Files.Get "files/pipelines.yaml" | fromYaml -}}
{{- $models := list -}}
{{- range .Values.pipelines -}}
{{- with index $known.pipelines . -}}{{- $models = concat $models .models -}}{{- end -}}
{{- end -}}
{{ $models | uniq | toJson }}
{{- end -}}

{{/* A quantity such as 8Gi in bytes. */}}
{{- define "radserve.bytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $unit := trimPrefix $number $text -}}
{{ mulf (float64 $number) (float64 (ternary 1 (index $units $unit) (eq $unit ""))) | int64 }}
{{- end -}}

{{/* A number of the values as text: Helm reads 2147483648 as 2.147483648e+09. */}}
{{- define "radserve.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* Seconds of the longest request. */}}
{{- define "radserve.longestRequest" -}}
{{- $settings := .Values.preproc.settings -}}
{{ maxf $settings.requestTimeoutS $settings.seriesTimeoutS | ceil | int64 }}
{{- end -}}

{{- define "radserve.spread" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- with (index $root.Values $component).topologySpreadConstraints }}
{{- toYaml . }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "radserve.selectorLabels" (list $root $component) | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}

{{/* Where the secret with a component's certificate comes from. Argument: (list $ "server") or (list $ "client"). */}}
{{- define "radserve.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $given := index $root.Values.tls.existingSecret (index . 1) -}}
{{- default (printf "%s-%s-tls" (include "radserve.fullname" $root) (index . 1)) $given -}}
{{- end -}}

{{/* What a pod of a component has besides its containers and volumes. */}}
{{- define "radserve.podCommon" -}}
{{- $root := index . 0 -}}
{{- $own := index $root.Values (index . 1) -}}
serviceAccountName: {{ include "radserve.serviceAccountName" . }}
automountServiceAccountToken: false
{{- /* Kubernetes would inject RADSERVE_* variables for the Services of the namespace, which are no settings */}}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml $own.podSecurityContext | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- include "radserve.spread" . | nindent 2 }}
{{- end -}}

{{/* Labels and annotations of a component's pods. */}}
{{- define "radserve.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $own := index $root.Values (index . 1) -}}
labels:
  {{- include "radserve.labels" . | nindent 2 }}
  {{- with $own.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- include "radserve.annotations" (list $root $own.podAnnotations) }}
{{- end -}}
