"""Every knob of the platform, in one frozen object that is passed, never imported as a global."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


def _home() -> Path:
    """Root's lies under /var/lib (the embedded PostgreSQL opens every parent for reading), a user's in her home."""
    if os.geteuid() == 0:
        return Path("/var/lib/cloudctl")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "cloudctl"


class Settings(BaseSettings):
    """Read from the environment: `data_dir` is `CLOUDCTL_DATA_DIR`, and so on."""

    model_config = SettingsConfigDict(env_prefix="CLOUDCTL_", frozen=True, extra="ignore")

    data_dir: Path = Field(default_factory=_home, description="Folder of all the platform's own files.")
    database_url: str | None = Field(
        None, description="PostgreSQL of the site, as the application's role; none starts the embedded server."
    )
    database_owner_url: str | None = Field(
        None, description="The same database as its owner, for migrations; defaults to the application's address."
    )
    database_connections: PositiveInt = Field(12, description="Connections each process may hold.")
    secret_key_file: Path | None = Field(
        None, description="File of the 32-byte key that seals secrets; default: secret.key in the data folder."
    )
    resources: dict[str, str] = Field(
        {}, description='Further resource classes and their units, as JSON: {"npu": "NPU"}.'
    )
    policy_file: Path | None = Field(None, description="Approval policy of the authority; default: the shipped one.")
    calendar_file: Path | None = Field(
        None, description="The authority's own holidays and make-up workdays; overrides the built-in calendar."
    )
    zone: str = Field(
        "Asia/Shanghai", description="Time zone in which working days begin and end, and sentences tell times."
    )

    host: str = Field("127.0.0.1", description="Address on which the API listens.")
    port: int = Field(8080, ge=0, le=65535, description="Port on which the API listens.")
    processes: PositiveInt = Field(2, description="Serving processes of the API.")
    threads: PositiveInt = Field(
        4, description="Calls that each serving process works on at the same time; others wait for their turn."
    )
    public_url: str | None = Field(None, description="Address under which users reach the API, for links.")

    worker_concurrency: PositiveInt = Field(4, description="Steps one worker runs at the same time.")
    load_concurrency: PositiveInt = Field(2, description="Runs of load tests one worker carries out at the same time.")
    load_authority: str | None = Field(
        None, description="File with the certificates that targets of load tests may show; default: the system's."
    )
    load_name_server: str | None = Field(
        None,
        pattern=r"^.+:\d{1,5}$",
        description="ADDRESS:PORT asked for the records that prove targets; default: the system's.",
    )
    load_user: int = Field(
        60600,
        gt=0,
        lt=2**31,
        description="User and group, by number, that locustfiles run as where the worker is root; nobody else.",
    )
    load_image: str | None = Field(
        None, description="Image of engines on generator pools, see docs/load-tests.md; none: engines run here only."
    )
    load_api_url: str | None = Field(
        None, description="Address under which engines on generator pools reach the API; default: the users'."
    )
    heartbeat_seconds: PositiveInt = Field(3, description="Seconds between two signs of life of a worker.")
    stalled_seconds: PositiveInt = Field(10, description="Seconds without a sign of life before others take over.")
    attempts: PositiveInt = Field(5, description="Times a step with an unexpected error is tried before it is parked.")

    attachment_bytes: PositiveInt = Field(10 * 2**20, description="Largest attachment, in bytes.")
    token_days: PositiveInt = Field(90, description="Days after which an API token expires unless told otherwise.")
    lockout_failures: PositiveInt = Field(5, description="Wrong secrets in a row after which a token is locked.")
    lockout: timedelta = Field(timedelta(minutes=15), description="How long a locked token stays locked.")
    quarantine: timedelta = Field(timedelta(days=15), description="How long an ended tenancy can be restored.")
    grace: timedelta = Field(timedelta(days=15), description="How long a tenancy stays suspended at its term's end.")
    reminder: timedelta = Field(timedelta(days=30), description="How long before the end of a term its owner is told.")
    kubeconfig_life: timedelta = Field(
        timedelta(days=7), description="How long the kubeconfig of a tenancy on Kubernetes opens anything."
    )
    drift_percent: int = Field(
        5,
        ge=0,
        le=100,
        description="Percent of a pool that may look wrong at once and are still repaired; a single tenancy always is.",
    )
    shortage_percent: int = Field(
        5,
        ge=0,
        le=100,
        description="Share of what was entered of a place, in percent, that may be lacking before it is told of.",
    )
    repairs_at_once: PositiveInt = Field(4, description="Repairs of drift under way in one pool at the same time.")
    evidence_age: timedelta = Field(timedelta(days=7), description="Age beyond which evidence of use is not fresh.")
    standard_tenancy: dict[str, int] = Field(
        {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 40},
        description="The size in which headroom is told: how many more of these a pool takes, as JSON.",
    )
    prometheus_url: str | None = Field(
        None, description="Prometheus that looks at this platform, for usage and queries."
    )
    alertmanager_url: str | None = Field(None, description="Alertmanager that silences are posted to.")
    platform_targets: list[str] = Field(
        [], description="Every API server of the platform as host:port, for Prometheus, as JSON; default: this one."
    )
    node_exporter_port: int = Field(9100, ge=1, le=65535, description="Port of the node exporters on servers.")
    audit_hash: Literal["sha256", "sm3"] = Field("sha256", description="Hash function that chains the audit log.")
    audit_anchor_file: Path | None = Field(
        None,
        description="File outside the database that keeps the newest seal; default: audit.anchor in the data folder.",
    )
    idempotency: timedelta = Field(
        timedelta(hours=24), description="How long the answer to an Idempotency-Key is kept."
    )
