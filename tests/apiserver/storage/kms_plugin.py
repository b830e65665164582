"""A KMS v2 plugin for tests: gRPC on a Unix socket, with keys that are one byte each (XOR), and what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from workshop.wire import kms_pb2 as pb


class Plugin:
    def __init__(self) -> None:
        self.key_id, self.healthz, self.version = "key-1", "ok", "v2"
        self.asked: list[Any] = []

    def _xor(self, data: bytes, key_id: str) -> bytes:
        return bytes(byte ^ len(key_id) ^ ord(key_id[-1]) for byte in data)

    def status(self, request: Any) -> Any:
        return pb.StatusResponse(version=self.version, healthz=self.healthz, key_id=self.key_id)

    def encrypt(self, request: Any) -> Any:
        sealed = self._xor(request.plaintext, self.key_id)
        return pb.EncryptResponse(ciphertext=sealed, key_id=self.key_id, annotations={"a.example.com": b"1"})

    def decrypt(self, request: Any) -> Any:
        if dict(request.annotations) != {"a.example.com": b"1"}:
            raise ValueError("the annotations are lost")
        return pb.DecryptResponse(plaintext=self._xor(request.ciphertext, request.key_id))

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[str]:
        """The endpoint."""

        def method(ask: Callable[[Any], Any], kind: Any) -> Any:
            async def answer(request: Any, context: Any) -> Any:
                self.asked.append(request)
                return ask(request)

            return grpc.unary_unary_rpc_method_handler(answer, kind.FromString, lambda found: found.SerializeToString())

        server = grpc.aio.server()
        methods = {
            "Status": method(self.status, pb.StatusRequest),
            "Encrypt": method(self.encrypt, pb.EncryptRequest),
            "Decrypt": method(self.decrypt, pb.DecryptRequest),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v2.KeyManagementService", methods),))
        server.add_insecure_port(f"unix://{path}")
        await server.start()
        try:
            yield f"unix://{path}"
        finally:
            await server.stop(None)
