"""cloudctl: the control plane of a government cloud."""
