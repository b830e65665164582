"""The `kms` provider: the keys belong to somebody else, a plugin behind a Unix socket that speaks gRPC (KMS v2).

    - kms: {apiVersion: v2, name: vault, endpoint: unix:///run/vault.sock, timeout: 3s}

The plugin sees no value. This server makes a random seed, has the plugin encrypt that once, and keeps both. Each value
gets a key of its own (HKDF of the seed and of 32 random bytes before the value), and the encrypted seed lies beside the
value in etcd: whoever can have the seed decrypted can read it, another server of the same plugin too.

The plugin's Status is asked every minute, every ten seconds while something is wrong. A new key id there means a new
seed; values under the old one are stale and are renewed when they are written. What was read once is read without the
plugin; what shall be written needs a good Status of the last three minutes.

Upstream: `apiserver/pkg/storage/value/encrypt/envelope/kmsv2`, `server/options/encryptionconfig/config.go`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from workshop.api import names
from workshop.clock import SYSTEM, Clock, rfc3339
from workshop.http2.client import Channel, RpcError
from workshop.wire import kms_pb2 as pb

from .ciphers import AesGcm, Unreadable

logger = logging.getLogger(__name__)
Envelope = Any  # a pb.EncryptedObject, without data where it only tells which seed

PROBE_EVERY, PROBE_UNWELL = 60.0, 10.0
WELL_LASTS, UNWELL_LASTS = 20.0, 3.0
WRITES_LAST = 180.0
"""Seconds after the last good Status for which values are still encrypted."""
KEY_ID_LIMIT, SOURCE_LIMIT, ANNOTATIONS_LIMIT = 1024, 1024, 32 * 1024
SEED_SIZE = INFO_SIZE = 32
VERSIONS = ("v2", "v2beta1")


class Unwell(Exception):
    """The plugin does not answer, or not as it should."""


class Plugin:
    """The three questions. Raises Unwell."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        self._endpoint, self._timeout = endpoint, timeout
        self._channel: Channel | None = None

    async def _ask(self, method: str, request: Any, answer: Any) -> Any:
        if self._channel is None:  # now there is a loop
            self._channel = Channel("localhost", 0, path=self._endpoint)
        path = f"/v2.KeyManagementService/{method}"
        try:
            return answer.FromString(await self._channel.unary(path, request.SerializeToString(), self._timeout))
        except RpcError as error:
            raise Unwell(str(error)) from None
        except ValueError as error:  # no such message
            raise Unwell(f"the answer to {method} cannot be read: {error}") from None

    async def status(self) -> Any:
        return await self._ask("Status", pb.StatusRequest(), pb.StatusResponse)

    async def encrypt(self, plain: bytes) -> Any:
        return await self._ask("Encrypt", pb.EncryptRequest(plaintext=plain, uid=str(uuid4())), pb.EncryptResponse)

    async def decrypt(self, envelope: Envelope) -> bytes:
        request = pb.DecryptRequest(
            ciphertext=envelope.encryptedDEKSource, uid=str(uuid4()), key_id=envelope.keyID,
            annotations=dict(envelope.annotations),
        )  # fmt: skip
        answer: bytes = (await self._ask("Decrypt", request, pb.DecryptResponse)).plaintext
        return answer

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


class Seed:
    """AES-GCM with a key of its own for each value."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) < SEED_SIZE:
            raise Unreadable(f"invalid seed length {len(seed)} used for key generation")
        self._seed = seed

    def _cipher(self, info: bytes) -> AesGcm:
        """The first block of HKDF-Expand by SHA-256, which is the whole key (RFC 5869, section 2.3)."""
        return AesGcm("", hmac.new(self._seed, info + b"\x01", hashlib.sha256).digest())

    def seal(self, plain: bytes, key: bytes) -> bytes:
        info = os.urandom(INFO_SIZE)
        return info + self._cipher(info).seal(plain, key)

    def open(self, sealed: bytes, key: bytes) -> bytes:
        if len(sealed) < INFO_SIZE:
            raise Unreadable("the stored data was shorter than the required size")
        return self._cipher(sealed[:INFO_SIZE]).open(sealed[INFO_SIZE:], key)


@dataclass(frozen=True)
class Current:
    """What writes now: the seed, how it lies beside the values, and until when that may be."""

    seed: Seed
    envelope: Envelope
    until: float


class Kms:
    """The provider. `probe` must go on beside it; `fetch` before a value that it `lacks` the seed of is opened."""

    def __init__(self, name: str, endpoint: str, timeout: float = 3.0, clock: Clock = SYSTEM) -> None:
        self.name, self.prefix = name, b"k8s:enc:kms:v2:%b:" % name.encode()
        self.plugin = Plugin(endpoint, timeout)
        self._clock = clock
        self._current: Current | None = None
        self._opened: dict[bytes, Seed | AesGcm] = {}
        self._version = ""
        self._problem, self._looked_until = "", 0.0

    # --- values

    def seal(self, plain: bytes, key: bytes) -> bytes:
        current = self._current
        if current is None:
            raise Unwell("got unexpected nil transformer")
        if (now := self._clock.now()) > current.until:
            until, key_id = rfc3339(current.until), _hashed(current.envelope.keyID)
            raise Unwell(f'encryptedDEKSource with keyID hash "{key_id}" expired at {until} '
                         f"(current time is {rfc3339(now)})")  # fmt: skip
        made = pb.EncryptedObject()
        made.CopyFrom(current.envelope)
        made.encryptedData = current.seed.seal(plain, key)
        raw: bytes = made.SerializeToString()
        return raw

    def open(self, sealed: bytes, key: bytes) -> bytes:
        envelope = _read(sealed)
        seed = self._opened.get(_identity(envelope))
        if seed is None:
            raise Unreadable("failed to decrypt DEK")
        return seed.open(envelope.encryptedData, key)

    def lacks(self, sealed: bytes) -> bool:
        """Whether the plugin must be asked before this value can be opened."""
        try:
            return _identity(_read(sealed)) not in self._opened
        except Unreadable:
            return False  # `open` says why

    def told(self, sealed: bytes) -> tuple[str, int]:
        """Under which key a value is, and how the value's own key comes of it. Raises Unreadable."""
        envelope = _read(sealed)
        return envelope.keyID, envelope.encryptedDEKSourceType

    def stale(self, told: tuple[str, int]) -> bool:
        """Whether another key would encrypt it now."""
        current = self._current
        return current is not None and told != (current.envelope.keyID, current.envelope.encryptedDEKSourceType)

    async def fetch(self, sealed: bytes) -> None:
        """Have the seed of a value decrypted. Raises Unwell, Unreadable."""
        envelope = _read(sealed)
        plain = await self.plugin.decrypt(envelope)
        is_seed = envelope.encryptedDEKSourceType == pb.HKDF_SHA256_XNONCE_AES_GCM_SEED
        try:
            self._opened[_identity(envelope)] = Seed(plain) if is_seed else AesGcm("", plain)
        except ValueError as error:  # a key that has no AES key's length
            raise Unreadable(str(error)) from None

    # --- the plugin's health

    async def check(self) -> str:
        """Ask for the Status and follow its key id; "" if all is well, else what is wrong."""
        try:
            status = await self.plugin.status()
        except Unwell as error:
            return f"failed to perform status section of the healthz check for KMS Provider {self.name}, error: {error}"
        wrong = self._odd(status)
        try:
            _check_key_id(status.key_id)
            await self._follow(status.key_id)
        except (Unwell, Unreadable) as error:
            wrong.append(str(error))
        if not wrong:
            return ""
        told = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        return f"kmsv2 Provider {self.name} is not healthy, error: {told}"

    def _odd(self, status: Any) -> list[str]:
        wrong = [f"got unexpected healthz status: {status.healthz}"] if status.healthz != "ok" else []
        if status.version not in VERSIONS:
            return [*wrong, f"expected KMSv2 API version v2, got {status.version}"]
        self._version = self._version or status.version
        if status.version != self._version:
            lead = "KMSv2 API version should not change after the initial status response version"
            wrong.append(f"{lead} {self._version}, got {status.version}")
        return wrong

    async def _follow(self, key_id: str) -> None:
        """Go on with the seed that there is, or make one under the new key. Raises Unwell, Unreadable."""
        until, current = self._clock.now() + WRITES_LAST, self._current
        if current is not None and current.envelope.keyID == key_id:
            self._current = Current(current.seed, current.envelope, until)
            return
        secret = os.urandom(SEED_SIZE)
        answer = await self.plugin.encrypt(secret)
        envelope = pb.EncryptedObject(
            keyID=answer.key_id, encryptedDEKSource=answer.ciphertext, annotations=dict(answer.annotations),
            encryptedDEKSourceType=pb.HKDF_SHA256_XNONCE_AES_GCM_SEED,
        )  # fmt: skip
        _check(envelope)
        if answer.key_id != key_id:
            hashes = f'statusKeyIDHash="{_hashed(key_id)}", encryptKeyIDHash="{_hashed(answer.key_id)}"'
            raise Unwell(f"failed to rotate DEK, {hashes}")
        seed = Seed(secret)
        self._opened[_identity(envelope)] = seed
        self._current = Current(seed, envelope, until)

    async def health(self) -> str:
        """`check`, of the last seconds."""
        if self._clock.monotonic() >= self._looked_until:
            self._problem = await self.check()
            self._looked_until = self._clock.monotonic() + (UNWELL_LASTS if self._problem else WELL_LASTS)
        return self._problem

    async def probe(self, recovered: Callable[[], Awaitable[None]]) -> None:
        """Look after the plugin, for ever; `recovered` is called each time when it is well."""
        while True:
            if problem := await self.check():
                logger.error("kms plugin failed health check probe: %s", problem)
            else:
                await recovered()
            await self._clock.sleep(PROBE_UNWELL if problem else PROBE_EVERY)


def _read(sealed: bytes) -> Envelope:
    """Raises Unreadable."""
    try:
        found = pb.EncryptedObject.FromString(sealed)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if not found.encryptedData:
        raise Unreadable("encrypted data is empty")
    _check(found)
    return found


def _check(envelope: Envelope) -> None:
    """Raises Unreadable, in upstream's words (ValidateEncryptedObject)."""
    kind, source = envelope.encryptedDEKSourceType, envelope.encryptedDEKSource
    if kind not in (pb.AES_GCM_KEY, pb.HKDF_SHA256_XNONCE_AES_GCM_SEED):
        raise Unreadable(f"unknown encryptedDEKSourceType: {kind}")
    if not source:
        raise Unreadable("failed to validate encrypted DEK source: encrypted DEK source is empty")
    if len(source) > SOURCE_LIMIT:
        raise Unreadable(f"failed to validate encrypted DEK source: encrypted DEK source is {len(source)} bytes, "
                         f"which exceeds the max size of {SOURCE_LIMIT}")  # fmt: skip
    try:
        _check_key_id(envelope.keyID)
    except Unwell as error:
        raise Unreadable(f"failed to validate key id: {error}") from None
    for key in envelope.annotations:
        if "." not in key or names.dns1123_subdomain(key):
            raise Unreadable(f"failed to validate annotations: annotations: Invalid value: {key}")
    size = sum(len(key) + len(value) for key, value in envelope.annotations.items())
    if size > ANNOTATIONS_LIMIT:
        raise Unreadable(f"failed to validate annotations: total size of annotations is {size}, "
                         f"which exceeds the max size of {ANNOTATIONS_LIMIT}")  # fmt: skip


def _check_key_id(key_id: str) -> None:
    if not key_id:
        raise Unwell("keyID is empty")
    if (size := len(key_id.encode())) > KEY_ID_LIMIT:
        raise Unwell(f"keyID is {size} bytes, which exceeds the max size of {KEY_ID_LIMIT}")


def _identity(envelope: Envelope) -> bytes:
    """Which seed it is: all of the envelope but the data."""
    told = pb.EncryptedObject()
    told.CopyFrom(envelope)
    told.ClearField("encryptedData")
    raw: bytes = told.SerializeToString(deterministic=True)
    return raw


def _hashed(key_id: str) -> str:
    return f"sha256:{hashlib.sha256(key_id.encode()).hexdigest()}" if key_id else ""
