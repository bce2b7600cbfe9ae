"""Network policies in, who may reach whom out: as much of their meaning as the chart uses."""

from __future__ import annotations

from tests.helm.chart import Object, Rendered

Labels = dict[str, str]


def allowed(objects: Rendered, source: Labels, target: Labels, port: int, *, namespace: Labels | None = None) -> bool:
    """Whether a pod may open a TCP connection to a pod of the release.

    ``namespace`` are the labels of the source's namespace; None for the release's own.
    """
    into = [rule for policy in _policies(objects, target, "Ingress") for rule in policy["spec"].get("ingress", ())]
    if not any(_port(rule, port) and _peer(rule.get("from"), source, namespace) for rule in into):
        return False
    if namespace is not None or not _policies(objects, source, "Egress"):
        return True
    out = [rule for policy in _policies(objects, source, "Egress") for rule in policy["spec"].get("egress", ())]
    return any(_port(rule, port) and _peer(rule.get("to"), target, None) for rule in out)


def may_leave(objects: Rendered, source: Labels, port: int) -> bool:
    """Whether a pod may send to some address outside of the cluster on a port."""
    rules = [rule for policy in _policies(objects, source, "Egress") for rule in policy["spec"].get("egress", ())]
    return any(
        _port(rule, port) and any("ipBlock" in peer for peer in rule.get("to", [{"ipBlock": {}}])) for rule in rules
    )


def _policies(objects: Rendered, pod: Labels, kind: str) -> list[Object]:
    found = [
        policy
        for policy in objects.of("NetworkPolicy")
        if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= pod.items()
        and kind in policy["spec"]["policyTypes"]
    ]
    return found or []


def _port(rule: Object, port: int) -> bool:
    return "ports" not in rule or any(item["port"] == port and item["protocol"] == "TCP" for item in rule["ports"])


def _peer(peers: list[Object] | None, pod: Labels, namespace: Labels | None) -> bool:
    if peers is None:
        return True
    for peer in peers:
        selector = peer.get("namespaceSelector")
        right_place = namespace is None if selector is None else namespace is not None and _matches(selector, namespace)
        if "ipBlock" not in peer and right_place and _matches(peer.get("podSelector", {}), pod):
            return True
    return False


def _matches(selector: Object, labels: Labels) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()
