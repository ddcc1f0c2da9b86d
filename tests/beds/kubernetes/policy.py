"""A policy engine for one worker: keeps its nftables in step with the cluster's NetworkPolicies.

    python policy.py KUBECONFIG NODE          in the worker's network namespace

It knows pod and namespace selectors, address blocks with exceptions, ports by number and range, both directions, and
default deny; neither named ports nor IPv6. The worker itself always reaches its pods, as Kubernetes asks.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubernetes import client, config, watch

Things = dict[str, dict[str, Any]]


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a label selector selects these labels; an empty one selects all."""
    selector, labels = selector or {}, labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or ():
        there, value = term["key"] in labels, labels.get(term["key"])
        holds = {
            "In": there and value in (term.get("values") or ()),
            "NotIn": value not in (term.get("values") or ()),
            "Exists": there,
            "DoesNotExist": not there,
        }
        if not holds[term["operator"]]:
            return False
    return True


def table(node: str, namespaces: Iterable[Any], pods: Iterable[Any], policies: Iterable[Any]) -> str:
    """The whole nftables table of a node, as text: a chain for each of its pods and directions under a policy."""
    labels = {each["metadata"]["name"]: each["metadata"].get("labels") for each in namespaces}
    pods, policies = [pod for pod in pods if _has_address(pod)], list(policies)
    chains, jumps = [], []
    for pod in pods:
        if pod["spec"].get("nodeName") != node:
            continue
        space = pod["metadata"]["namespace"]
        for kind, peer, own, other in (("Ingress", "from", "daddr", "saddr"), ("Egress", "to", "saddr", "daddr")):
            mine = [
                policy["spec"]
                for policy in policies
                if policy["metadata"]["namespace"] == space
                and kind in policy["spec"].get("policyTypes", ["Ingress"])
                and matches(policy["spec"].get("podSelector"), pod["metadata"].get("labels"))
            ]
            if mine:
                chain = f"{kind.lower()}-{pod['metadata']['uid']}"
                allowed = [
                    f"{address}{port}return"
                    for policy in mine
                    for rule in policy.get(kind.lower()) or ()
                    for address in _addresses(rule.get(peer), space, other, pods, labels)
                    for port in _ports(rule.get("ports"))
                ]
                chains.append(f"chain {chain} {{ {'; '.join([*allowed, 'drop'])}; }}")
                jumps.append(f"ip {own} {pod['status']['podIP']} jump {chain}")
    hook = "type filter hook forward priority filter + 10; ct state established,related accept;"
    lines = ["table ip policies {}", "delete table ip policies", "table ip policies {", *chains]
    return "\n".join([*lines, f"chain forward {{ {hook}", *jumps, "}", "}", ""])


def _has_address(pod: Any) -> bool:
    at = pod.get("status", {})
    return bool(at.get("podIP") and at.get("phase") in ("Pending", "Running") and not pod["spec"].get("hostNetwork"))


def _addresses(peers: Any, space: str, side: str, pods: Iterable[Any], labels: Mapping[str, Any]) -> list[str]:
    """The beginning of a rule for each peer; an empty one where no peer is named, which means everybody."""
    if not peers:
        return [""]
    found, known = [], set()
    for peer in peers:
        if block := peer.get("ipBlock"):
            but = f"ip {side} != {{ {', '.join(block['except'])} }} " if block.get("except") else ""
            found.append(f"ip {side} {block['cidr']} {but}")
            continue
        for pod in pods:
            there = pod["metadata"]["namespace"]
            near = (
                matches(peer["namespaceSelector"], labels.get(there)) if "namespaceSelector" in peer else there == space
            )
            if near and matches(peer.get("podSelector"), pod["metadata"].get("labels")):
                known.add(pod["status"]["podIP"])
    return found + ([f"ip {side} {{ {', '.join(sorted(known))} }} "] if known else [])


def _ports(wanted: Any) -> list[str]:
    if not wanted:
        return [""]
    rules = []
    for each in wanted:
        protocol = each.get("protocol", "TCP").lower()
        ports = (
            f"th dport {each['port']}" + (f"-{each['endPort']}" if "endPort" in each else "") if "port" in each else ""
        )
        rules.append(f"meta l4proto {protocol} {ports} ")
    return rules


def _follow(api: client.ApiClient, lister: Callable[..., Any], things: Things, changed: threading.Event) -> None:
    """Keep a live copy, by uid, of what a lister lists."""
    while True:
        try:
            first = lister()
            things.clear()
            things.update({each.metadata.uid: api.sanitize_for_serialization(each) for each in first.items})
            changed.set()
            since = first.metadata.resource_version
            for event in watch.Watch().stream(lister, resource_version=since, timeout_seconds=300):
                each = event["raw_object"]
                if event["type"] == "DELETED":
                    things.pop(each["metadata"]["uid"], None)
                else:
                    things[each["metadata"]["uid"]] = each
                changed.set()
        except Exception as error:  # the API server went away: list again when it is back
            print(error, flush=True)
            time.sleep(0.5)


def enforce(kubeconfig: str, node: str) -> None:
    """Keep this network namespace's table as the cluster's policies want it, for ever."""
    api = config.new_client_from_config(kubeconfig)
    core, changed = client.CoreV1Api(api), threading.Event()
    listers = [core.list_namespace, core.list_pod_for_all_namespaces]
    listers.append(client.NetworkingV1Api(api).list_network_policy_for_all_namespaces)
    copies: list[Things] = [{}, {}, {}]
    for lister, things in zip(listers, copies, strict=True):
        threading.Thread(target=_follow, args=(api, lister, things, changed), daemon=True).start()
    loaded = ""
    while changed.wait():
        time.sleep(0.05)  # changes come in flocks
        changed.clear()
        text = table(node, *(list(things.values()) for things in copies))
        if text != loaded:
            done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True)
            print(done.stderr or f"{text.count(' jump ')} pods and directions under policy", flush=True)
            loaded = "" if done.returncode else text


if __name__ == "__main__":
    enforce(*sys.argv[1:])
