#!/usr/bin/env bash
# Checks the manifests against the schemas of the Kubernetes API, and that what they promise about
# security holds for every container. Nothing asks a cluster: kubernetes-validate (PyPI) brings the
# schemas along.
set -euo pipefail
cd "$(dirname "$0")"
. ../tools.sh

# The oldest version whose fields the manifests use (a sleep as preStop hook), and a current one.
versions=(1.30 1.34)

tool="$(python_tool kubernetes-validate==1.37.0)"
export PYTHONPATH="$tool"
for version in "${versions[@]}"; do
    "$tool/bin/kubernetes-validate" --strict --kubernetes-version "$version" ./*.yaml
done
python3 hardened.py ./*.yaml
