"""A real server that speaks S3, in this process, and the environment by which it is found."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from moto.server import ThreadedMotoServer

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
BUCKET = "sweeps"


@dataclass
class S3Server:
    """See the module's text; what it holds outlives `stop` and `start`."""

    port: int = 0
    _server: ThreadedMotoServer | None = None

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def environment(self) -> dict[str, str]:
        """The usual variables, as a user sets them."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server with one bucket."""
    server = S3Server()
    server.start()
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        yield server
    finally:
        server.stop()
