"""Bare servers in namespaces of this machine, with real systemd and sshd, of three architectures."""
