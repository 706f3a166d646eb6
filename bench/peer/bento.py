"""BentoML as its documentation has it: a service with as many threads as cores, a picture in, a picture out."""

from __future__ import annotations

import os
from typing import Annotated

import bentoml
import recipe
from bentoml.validators import ContentType
from PIL.Image import Image


@bentoml.service(
    workers=int(os.environ.get("WORKERS", "1")),
    threads=int(os.environ.get("THREADS", "0")) or recipe.THREADS,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class Superres:
    def __init__(self) -> None:
        self.net = recipe.session()

    @bentoml.api
    def upscale(self, image: Image, /) -> Annotated[bytes, ContentType("image/png")]:
        return recipe.encode(recipe.run(self.net, recipe.plane(image)[None])[0])
