"""Prometheus and Alertmanager beside the platform: where they are installed, how configured, how started."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

NAMES = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),  # as Debian calls it, as its makers do
}
RULES = Path(str(resources.files(__package__))) / "rules"
_CONFIG = RULES.parent / "config"


@dataclass(frozen=True)
class Pace:
    """How often things are looked at, as Prometheus and Alertmanager write it."""

    scrape: str = "15s"
    evaluate: str = "15s"
    refresh: str = "30s"
    group_wait: str = "10s"
    group_interval: str = "1m"
    repeat: str = "4h"


@dataclass(frozen=True)
class Instruments:
    """Where both listen (host:port), where the platform's API is, and the folder of all that is theirs."""

    folder: Path
    api: str
    prometheus: str
    alertmanager: str
    pace: Pace = Pace()
    rules: Path = RULES

    @property
    def urls(self) -> dict[str, str]:
        """By the names of the settings."""
        return {"prometheus_url": f"http://{self.prometheus}", "alertmanager_url": f"http://{self.alertmanager}"}

    @property
    def probes(self) -> dict[str, str]:
        """What answers 200 once one of them works, by what it is."""
        return {
            "prometheus": f"http://{self.prometheus}/-/ready",
            "alertmanager": f"http://{self.alertmanager}/-/ready",
        }

    def configure(self, token: str) -> None:
        """Write the configuration of both; the token of the role `monitor` goes into a file of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        secret = self.folder / "token"
        secret.touch(mode=0o600)
        secret.write_text(token)
        for file in _CONFIG.iterdir():
            (self.folder / file.name).write_text(self._filled(file.read_text(encoding="utf-8")))

    def commands(self, programs: Mapping[str, str]) -> dict[str, list[str]]:
        """The command line of each of these programs. What has no address of its own listens nowhere."""
        every = {
            "prometheus": [
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/tsdb",
                f"--web.listen-address={self.prometheus}",
                "--enable-feature=new-service-discovery-manager",  # else an empty list may be taken for none
            ],
            "alertmanager": [
                f"--config.file={self.folder}/alertmanager.yml",
                f"--storage.path={self.folder}/alertmanager",
                f"--web.listen-address={self.alertmanager}",
                "--cluster.listen-address=",
            ],
        }
        return {name: [programs[name], *options] for name, options in every.items() if name in programs}

    def _filled(self, text: str) -> str:
        marks = {
            "RULES": str(self.rules),
            "TOKEN": str(self.folder / "token"),
            "API": self.api,
            "PROMETHEUS": self.prometheus,
            "ALERTMANAGER": self.alertmanager,
            "TIMEOUT": self.pace.scrape,
            **{name.upper(): value for name, value in vars(self.pace).items()},
        }
        for name, value in marks.items():
            text = text.replace(f"@{name}@", value)
        return text


def found(path: str | None = None) -> dict[str, str]:
    """The programs that are installed, by what they are."""
    where = path or f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin"
    looked = {what: [shutil.which(name, path=where) for name in names] for what, names in NAMES.items()}
    return {what: program for what, programs in looked.items() for program in programs if program}
