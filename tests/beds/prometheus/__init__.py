"""The bed of Prometheus, Alertmanager and node exporter: real programs, unpacked without root, on loopback."""
