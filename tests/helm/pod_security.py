"""A pod specification in, what the restricted Pod Security Standard has against it out.

https://kubernetes.io/docs/concepts/security/pod-security-standards/, and what radserve wants on top: a numeric user, a
read-only root file system, no token.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.helm.chart import Object

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod: Object) -> list[str]:
    """One line for each thing that is not allowed."""
    context = pod.get("securityContext", {})
    found = list(_of_pod(pod, context))
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        found += [f"{container['name']}: {line}" for line in _of_container(container, context)]
    return found


def _of_pod(pod: Object, context: Object) -> Iterator[str]:
    yield from (f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
    for volume in pod.get("volumes", ()):
        yield from (f"volume {volume['name']} is a {kind}" for kind in volume.keys() - {"name"} - VOLUMES)
    yield from (f"{key} is set" for key in ("sysctls", "windowsOptions") if context.get(key))
    if pod.get("automountServiceAccountToken") is not False:
        yield "mounts a service account's token"
    if pod.get("enableServiceLinks") is not False:
        yield "takes variables for every Service of the namespace"


def _of_container(container: Object, pod_context: Object) -> Iterator[str]:
    context = {**pod_context, **container.get("securityContext", {})}
    user = context.get("runAsUser")
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if not isinstance(user, int) or user == 0:
        yield f"runs as user {user}"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("privileged"):
        yield "is privileged"
    if "ALL" not in context.get("capabilities", {}).get("drop", ()):
        yield "keeps capabilities"
    if set(context.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "can write to its root file system"
    if not any(mount["mountPath"] == "/tmp" for mount in container.get("volumeMounts", ())):
        yield "has no /tmp to write to"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "opens a port of the node"
    if not container.get("resources", {}).get("requests") or not container["resources"].get("limits", {}).get("memory"):
        yield "has no requests, or no memory limit"
