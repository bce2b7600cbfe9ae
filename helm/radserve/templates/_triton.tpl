{{/* Pieces of the Triton pod: flags, probes, and the containers that bring and check the repository. */}}

{{/* Flags after those of triton_server/entrypoint.sh; of a flag given twice the last one counts. */}}
{{- define "radserve.tritonArgs" -}}
{{- /* HTTP (and with it model control and shared memory) answers nobody outside the pod: probes ask from inside */}}
- --http-address=127.0.0.1
- --metrics-address=0.0.0.0
{{- /* absent under MIG, and in the way of a DCGM exporter; nothing here scales by it */}}
- --allow-gpu-metrics=false
- --exit-timeout-secs={{ int .Values.triton.exitTimeoutSeconds }}
{{- /* milliseconds; the grace outlives the longest request */}}
- --grpc-max-connection-age={{ mul 1000 (int .Values.triton.grpc.maxConnectionAgeSeconds) }}
- --grpc-max-connection-age-grace={{ mul 1000 (add 10 (include "radserve.longestRequest" . | int)) }}
{{- with .Values.triton.modelConfigName }}
- --model-config-name={{ . }}
{{- end }}
{{- if .Values.tls.enabled }}
- --grpc-use-ssl=true
- --grpc-use-ssl-mutual=true
- --grpc-server-cert=/etc/radserve/tls/tls.crt
- --grpc-server-key=/etc/radserve/tls/tls.key
- --grpc-root-cert=/etc/radserve/tls/ca.crt
{{- end }}
{{- range .Values.triton.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* A question to Triton's HTTP inside the pod; every address must answer 200. Argument: the path. */}}
{{- define "radserve.ask" -}}
- curl
- --noproxy
- "*"
- --fail
- --fail-early
- --silent
- --show-error
- --output
- /dev/null
- --max-time
- "4"
- http://127.0.0.1:8000/v2/{{ . }}
{{- end -}}

{{/* Ready: the server, and each model that the pipelines need by its name. One address with alternatives, as curl spells them. */}}
{{- define "radserve.ready" -}}
{{- $models := include "radserve.models" . | fromJsonArray -}}
{{- $paths := list "health/ready" -}}
{{- range $models }}{{ $paths = append $paths (printf "models/%s/ready" .) }}{{ end -}}
{{ include "radserve.ask" (ternary (index $paths 0) (printf "{%s}" (join "," $paths)) (eq (len $paths) 1)) }}
{{- end -}}

{{/* Copy a folder into the volume "models". What an attempt before this one left there goes first, whatever its mode: an init
container may run again. Argument: the folder. */}}
{{- define "radserve.copy" -}}
[/bin/sh, -c, "chmod -R u+rwX /models/* 2>/dev/null; rm -rf /models/* && cp -R {{ . }}/. /models/"]
{{- end -}}

{{/* The container that brings the repository into the volume "models". */}}
{{- define "radserve.bring" -}}
{{- $repository := .Values.repository -}}
- name: repository
{{- if eq $repository.source "oci" }}
  image: {{ include "radserve.image" (list . $repository.oci.image) }}
  imagePullPolicy: {{ $repository.oci.image.pullPolicy }}
  command: {{ include "radserve.copy" "/repository" }}
{{- else if eq $repository.source "s3" }}
  image: {{ include "radserve.image" (list . $repository.s3.image) }}
  imagePullPolicy: {{ $repository.s3.image.pullPolicy }}
  command:
    - rclone
    - sync
    - --config=/tmp/rclone.conf
    - --checksum
    - --retries=5
    {{- if $repository.s3.caConfigMap }}
    - --ca-cert=/etc/radserve/s3/ca.crt
    {{- end }}
    - {{ printf ":s3:%s/%s" $repository.s3.bucket $repository.s3.prefix | trimSuffix "/" | quote }}
    - /models
  env:
    - {name: HOME, value: /tmp}
    - {name: RCLONE_S3_PROVIDER, value: {{ ternary "Other" "AWS" (ne $repository.s3.endpoint "") }}}
    {{- with $repository.s3.endpoint }}
    - {name: RCLONE_S3_ENDPOINT, value: {{ . | quote }}}
    {{- end }}
    {{- with $repository.s3.region }}
    - {name: RCLONE_S3_REGION, value: {{ . | quote }}}
    {{- end }}
    {{- if $repository.s3.existingSecret }}
    - name: RCLONE_S3_ACCESS_KEY_ID
      valueFrom:
        secretKeyRef: {name: {{ $repository.s3.existingSecret }}, key: {{ $repository.s3.accessKeyIdKey }}}
    - name: RCLONE_S3_SECRET_ACCESS_KEY
      valueFrom:
        secretKeyRef: {name: {{ $repository.s3.existingSecret }}, key: {{ $repository.s3.secretAccessKeyKey }}}
    {{- else }}
    - {name: RCLONE_S3_ENV_AUTH, value: "true"}
    {{- end }}
{{- else }}
  image: {{ include "radserve.image" (list . .Values.triton.image) }}
  imagePullPolicy: {{ .Values.triton.image.pullPolicy }}
  command: {{ include "radserve.copy" "/source" }}
{{- end }}
  securityContext:
    {{- toYaml .Values.triton.securityContext | nindent 4 }}
  resources:
    {{- toYaml $repository.resources | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
    {{- if eq $repository.source "pvc" }}
    - name: source
      mountPath: /source
      readOnly: true
      {{- with $repository.pvc.subPath }}
      subPath: {{ . | quote }}
      {{- end }}
    {{- end }}
    {{- if and (eq $repository.source "s3") $repository.s3.caConfigMap }}
    - {name: s3-ca, mountPath: /etc/radserve/s3, readOnly: true}
    {{- end }}
{{- end -}}

{{/* The container that holds every file against manifest.json; Triton does not start without it. */}}
{{- define "radserve.verify" -}}
- name: verify
  image: {{ include "radserve.image" (list . .Values.triton.image) }}
  imagePullPolicy: {{ .Values.triton.image.pullPolicy }}
  command:
    - python3
    - -m
    - radserve_triton.verify
    - /models
    {{- with .Values.repository.manifestSha256 }}
    - --manifest-sha256={{ . }}
    {{- end }}
    {{- with .Values.triton.modelConfigName }}
    - --variant={{ . }}
    {{- end }}
    {{- range include "radserve.models" . | fromJsonArray }}
    - --model={{ . }}
    {{- end }}
  securityContext:
    {{- toYaml .Values.triton.securityContext | nindent 4 }}
  resources:
    {{- toYaml .Values.repository.resources | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* The resources with the accelerator among the limits; a GPU's request is its limit. */}}
{{- define "radserve.tritonResources" -}}
{{- $triton := .Values.triton -}}
{{- $device := dict -}}
{{- if eq $triton.accelerator "gpu" }}{{ $device = dict $triton.gpu.resource (int $triton.gpu.count) }}{{ end -}}
{{- if eq $triton.accelerator "mig" }}{{ $device = dict (printf "nvidia.com/mig-%s" $triton.mig.profile) 1 }}{{ end -}}
{{- $limits := merge (dict) $device ($triton.resources.limits | default dict) -}}
{{ toYaml (merge (dict "limits" $limits) $triton.resources) }}
{{- end -}}
