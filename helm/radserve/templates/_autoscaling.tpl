{{/* The signals of autoscaling as PromQL, shared by HPA, KEDA and the rules of the metrics adapter.

Triton's own are of networks alone: an ensemble's pending count is 0 by design, and its queue is the queues of its parts.
Sums are divided once, not averaged per model, and an idle system is 0 and not absent. */}}

{{- define "radserve.tritonSeries" -}}
{{- $known := .Files.Get "files/pipelines.yaml" | fromYaml -}}
namespace="{{ .Release.Namespace }}",pod=~"{{ include "radserve.triton" . }}-.+",model!~"{{ join "|" $known.ensembles }}"
{{- end -}}

{{- define "radserve.preprocSeries" -}}
namespace="{{ .Release.Namespace }}",pod=~"{{ include "radserve.preproc" . }}-.+"
{{- end -}}

{{/* Requests that wait in Triton now: the one signal that leads. */}}
{{- define "radserve.query.pending" -}}
sum(nv_inference_pending_request_count{ {{- include "radserve.tritonSeries" . -}} }) or vector(0)
{{- end -}}

{{/* Mean seconds in Triton's queue, weighted by requests. */}}
{{- define "radserve.query.queueWait" -}}
{{- $series := include "radserve.tritonSeries" . -}}
sum(rate(nv_inference_queue_duration_us{ {{- $series -}} }[2m])) / (sum(rate(nv_inference_request_success{ {{- $series -}} }[2m])) > 0) / 1e6 or vector(0)
{{- end -}}

{{/* Studies that wait in the services for Triton, or are with it. */}}
{{- define "radserve.query.serviceQueue" -}}
sum({__name__=~"radserve_queue_depth|radserve_in_flight",{{ include "radserve.preprocSeries" . }},gate="triton"}) or vector(0)
{{- end -}}

{{/* 1 when studies were turned away because there is no Triton: what wakes it from zero. */}}
{{- define "radserve.query.wake" -}}
clamp_max(sum(increase(radserve_failures_total{ {{- include "radserve.preprocSeries" . -}} ,code=~"MODEL_NOT_READY|TRITON_UNAVAILABLE"}[5m])), 1) or vector(0)
{{- end -}}

{{/* Jobs of the services' threads, running and waiting. */}}
{{- define "radserve.query.cpuJobs" -}}
sum({__name__=~"radserve_queue_depth|radserve_in_flight",{{ include "radserve.preprocSeries" . }},gate="cpu"}) or vector(0)
{{- end -}}

{{/* The signals of a component, as YAML. `average`: the aim is for a pod, otherwise for all of them. Argument: (list $ component). */}}
{{- define "radserve.signals" -}}
{{- $root := index . 0 -}}
{{- $own := (index $root.Values (index . 1)).autoscaling -}}
{{- if eq (index . 1) "triton" }}
- {name: triton_pending_requests, query: pending, series: nv_inference_pending_request_count, aim: {{ $own.pendingRequests }}, average: true}
- {name: triton_queue_wait_seconds, query: queueWait, series: nv_inference_queue_duration_us, aim: {{ $own.queueWaitSeconds }}, average: false}
- {name: triton_service_queue, query: serviceQueue, series: radserve_queue_depth, aim: {{ $own.serviceQueue }}, average: true}
{{- if eq (int $own.minReplicas) 0 }}
- {name: triton_wake, query: wake, series: radserve_failures_total, aim: 1, average: true}
{{- end }}
{{- else }}
- {name: preproc_cpu_jobs, query: cpuJobs, series: radserve_queue_depth, aim: {{ $own.cpuJobs }}, average: true}
{{- end }}
{{- end -}}

{{/* The external metric's name: one for each release in the cluster. Argument: (list $ signal). */}}
{{- define "radserve.metricName" -}}
{{- $root := index . 0 -}}
{{ printf "%s_%s_%s" $root.Release.Namespace (include "radserve.fullname" $root) (index . 1).name | replace "-" "_" }}
{{- end -}}
