"""Images without a registry or a builder: OCI archives written from files, imported by each worker."""

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PAUSE = "bed.test/pause:1"
BUSYBOX = "bed.test/busybox:1"
"""A shell and small tools for pods of tests. Its `wget` cannot resolve names: use `nc ADDRESS PORT`."""

MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "loongarch64": "loong64"}[platform.machine()]
"""This machine's architecture in the words of images and nodes."""

FOLDERS = ("bin", "etc", "proc", "sys", "dev", "www")
USERS = {
    "etc/passwd": b"root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n",
    "etc/group": b"root:x:0:\nuser:x:1000:\n",
}


def write(folder: Path, pause: Path) -> list[Path]:
    """Write the bed's images into the folder; returns their archives."""
    busybox = Path(shutil.which("busybox") or "busybox")
    applets = subprocess.check_output([busybox, "--list"], text=True).split()
    shell = _layer(
        {"bin/busybox": busybox.read_bytes()} | USERS, {f"bin/{a}": "busybox" for a in applets if a != "busybox"}
    )
    settings = {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}
    return [
        _archive(folder / "pause.tar", PAUSE, _layer({"pause": pause.read_bytes()}), {"Entrypoint": ["/pause"]}),
        _archive(folder / "busybox.tar", BUSYBOX, shell, settings),
    ]


def _layer(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """One uncompressed layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name: str, kind: bytes, mode: int = 0o755, content: bytes = b"", target: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
            tar.addfile(entry, io.BytesIO(content))

        for name in FOLDERS:
            add(name, tarfile.DIRTYPE)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        for name, content in files.items():
            add(name, tarfile.REGTYPE, content=content)
        for name, target in (links or {}).items():
            add(name, tarfile.SYMTYPE, target=target)
    return out.getvalue()


def _archive(path: Path, name: str, layer: bytes, settings: Mapping[str, Sequence[str]]) -> Path:
    """Write an OCI layout that `ctr images import` takes under that name."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    part = blob(layer, "layer.v1.tar")
    system = {"architecture": MACHINE, "os": "linux"}
    image = system | {"config": settings, "rootfs": {"type": "layers", "diff_ids": [part["digest"]]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(image).encode(), "config.v1+json"),
        "layers": [part],
    }
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry |= {"platform": system, "annotations": {"io.containerd.image.name": name}}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in files.items():
            size = tarfile.TarInfo(member)
            size.size = len(content)
            tar.addfile(size, io.BytesIO(content))
    return path
