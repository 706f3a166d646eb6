"""LitServe as its documentation has it: one worker process a core, pictures as uploaded files, the answer as it is."""

import os
import sys

import litserve as ls
import numpy as np
import recipe
from fastapi import Response, UploadFile
from numpy.typing import NDArray

BATCH = int(os.environ.get("BATCH", "1"))


class Superres(ls.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.net = recipe.session()

    def decode_request(self, request: UploadFile) -> NDArray[np.float32]:
        return recipe.decode(request.file.read())

    def batch(self, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack(inputs)

    def predict(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        return recipe.run(self.net, planes) if BATCH > 1 else recipe.run(self.net, planes[None])[0]

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> Response:
        return Response(recipe.encode(output), media_type="image/png")


if __name__ == "__main__":
    api = Superres(max_batch_size=BATCH, batch_timeout=0, api_path="/upscale")
    server = ls.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=recipe.THREADS,
        fast_queue=bool(os.environ.get("FAST")),
        timeout=60,
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False
    )
