"""A real Kubernetes for tests: its own control plane, built from one go.mod, and nodes that kwok plays."""
