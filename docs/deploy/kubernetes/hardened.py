"""Fails unless every container of the given manifests is locked down, and every reference from a
pod to a ConfigMap, port or volume finds what it names."""

import pathlib
import sys

import yaml


def problems(documents):
    config_maps = {d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap"}
    for document in documents:
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        labels = document["spec"]["template"]["metadata"]["labels"]
        name = document["metadata"]["name"]
        if document["spec"]["selector"]["matchLabels"].items() - labels.items():
            yield f"{name}: the selector does not match the pod's labels"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: a service account token is mounted"
        shared = pod.get("securityContext", {})
        if shared.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: no seccomp profile"
        volumes = {}
        for volume in pod.get("volumes", []):
            volumes[volume["name"]] = volume
            if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
                yield f"{name}: secret volume {volume['name']} is not 0400"
            if "configMap" in volume and volume["configMap"]["name"] not in config_maps:
                yield f"{name}: no ConfigMap {volume['configMap']['name']}"
        for container in pod.get("initContainers", []) + pod["containers"]:
            where = f"{name}/{container['name']}"
            context = {**shared, **container.get("securityContext", {})}
            if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
                yield f"{where}: may run as root"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{where}: the root file system is writable"
            if context.get("allowPrivilegeEscalation") is not False:
                yield f"{where}: privileges may be escalated"
            if context.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{where}: capabilities are kept"
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
                yield f"{where}: no requests for CPU and memory"
            if "memory" not in resources.get("limits", {}):
                yield f"{where}: no memory limit"
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{where}: no volume {mount['name']}"
                if mount.get("readOnly") is not True:
                    yield f"{where}: {mount['mountPath']} is writable"
            ports = {port["name"] for port in container.get("ports", [])}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(kind, {}).get("httpGet", {}).get("port")
                if port is not None and port not in ports:
                    yield f"{where}: {kind} asks port {port}, which is not there"


def main(paths):
    failed = False
    for path in paths:
        documents = list(yaml.safe_load_all(pathlib.Path(path).read_text(encoding="utf-8")))
        if not any(document["kind"] == "Deployment" for document in documents):
            failed = True
            print(f"{path}: holds no Deployment")
        for problem in problems(documents):
            failed = True
            print(f"{path}: {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
