"""The Kubernetes driver: a tenancy is a namespace with walls, a quota of its own, and a way in that expires."""

from provisioning.kubernetes.driver import KubernetesDriver as KubernetesDriver
