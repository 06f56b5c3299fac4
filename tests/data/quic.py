"""HTTP/3's transport on both sides, by aioquic.

Usage: quic.py serve PORT CERTIFICATE KEY [retry] | quic.py ask HOST PORT COUNT [v2]
"""

import asyncio
import os
import ssl
import sys

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion


async def server(port, certificate, key, retry):
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=["h3"],
        supported_versions=[QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2],
    )
    configuration.load_cert_chain(certificate, key)
    await serve("::", port, configuration=configuration, retry=retry)
    print("ready", flush=True)
    await asyncio.Event().wait()


async def client(host, port, count, version):
    for _ in range(count):
        configuration = QuicConfiguration(
            alpn_protocols=["h3"],
            verify_mode=ssl.CERT_NONE,
            server_name="www.example.test",
            supported_versions=[version],
            original_version=version,
        )
        async with connect(host, port, configuration=configuration) as connection:
            await asyncio.wait_for(connection.wait_connected(), 20)
            await connection.ping()
        print("connected", os.getpid(), flush=True)


what, *rest = sys.argv[1:]
if what == "serve":
    asyncio.run(server(int(rest[0]), rest[1], rest[2], rest[3:] == ["retry"]))
else:
    two = rest[3:] == ["v2"]
    version = QuicProtocolVersion.VERSION_2 if two else QuicProtocolVersion.VERSION_1
    asyncio.run(client(rest[0], int(rest[1]), int(rest[2]), version))
