"""The certificate authority of a bed: whoever it signs for may come in, under the name it signs."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=2)


class Authority:
    """Writes certificates, keys and kubeconfigs into a folder; its own certificate is `ca.crt` there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._write("ca", self._signed(self._name, self._key.public_key(), (), authority=True), self._key)
        tokens = rsa.generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        (folder / "tokens.key").write_bytes(tokens)  # signs the tokens of service accounts

    def issue(self, stem: str, user: str, group: str | None = None, hosts: Sequence[str] = ()) -> None:
        """Write `stem`.crt and `stem`.key: for a server where `hosts` are named, else for a client."""
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
        names.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(stem, self._signed(x509.Name(names), key.public_key(), hosts), key)

    def kubeconfig(self, stem: str, server: str) -> Path:
        """How the client `stem` speaks to the API server at that address; paths in it are absolute."""
        path = self.folder / f"{stem}.kubeconfig"
        at = {"server": server, "certificate-authority": str(self.folder / "ca.crt")}
        key = {
            n: str(self.folder / f"{stem}.{end}") for n, end in (("client-certificate", "crt"), ("client-key", "key"))
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bed", "cluster": at}],
            "users": [{"name": stem, "user": key}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": stem}}],
            "current-context": "bed",
        }
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, hosts: Sequence[str], authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        build = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + LIFE)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
            build = build.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            known = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
            build = build.add_extension(x509.SubjectAlternativeName(known), critical=False)
        return build.sign(self._key, hashes.SHA256())

    def _write(self, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.folder / f"{stem}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        private = self.folder / f"{stem}.key"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        private.chmod(0o600)
