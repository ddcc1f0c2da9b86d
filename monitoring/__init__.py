"""Looking: what is really used, as evidence that decisions can rest on."""
