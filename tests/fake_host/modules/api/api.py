"""The routes of the host that the tests use. `--api-auth` guards these and no others."""

from __future__ import annotations

import base64
import binascii
import io
from contextlib import closing
from typing import Any

from PIL import Image

from .. import processing, scripts, sd_models, shared
from ..call_queue import queue_lock

JOBS = {
    "txt2img": (processing.StableDiffusionProcessingTxt2Img, scripts.scripts_txt2img),
    "img2img": (processing.StableDiffusionProcessingImg2Img, scripts.scripts_img2img),
}


class Api:
    """Adds them to an app."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.add("/sdapi/v1/txt2img", self.text2imgapi, "POST")
        self.add("/sdapi/v1/img2img", self.img2imgapi, "POST")
        self.add("/sdapi/v1/options", self.get_config, "GET")
        self.add("/sdapi/v1/options", self.set_config, "POST")
        self.add("/sdapi/v1/sd-models", self.get_sd_models, "GET")
        self.add("/sdapi/v1/refresh-checkpoints", self.refresh_checkpoints, "POST")

    def add(self, path: str, endpoint: Any, method: str) -> None:
        """A route, guarded if the host is."""
        guards = [self.auth] if shared.cmd_opts.api_auth else []
        self.app.add_api_route(path, endpoint, methods=[method], dependencies=guards)

    def auth(self, user: str | None) -> bool:
        """Whether the flag names the user."""
        return user in shared.cmd_opts.api_auth.split(",")

    def text2imgapi(self, req: dict[str, Any]) -> dict[str, Any]:
        """Draws."""
        return self.draw("txt2img", req)

    def img2imgapi(self, req: dict[str, Any]) -> dict[str, Any]:
        """Draws over a picture."""
        pictures = [
            Image.open(io.BytesIO(binascii.a2b_base64(text.split(",")[-1]))) for text in req["init_images"]
        ]
        return self.draw("img2img", {**req, "init_images": pictures})

    def draw(self, tab: str, req: dict[str, Any]) -> dict[str, Any]:
        """One job, or the script that the request names."""
        name, args = req.pop("script_name", None), req.pop("script_args", [])
        job, runner = JOBS[tab]
        with queue_lock, closing(job(**req)) as p:
            p.is_api = True
            p.scripts = runner
            p.script_args = tuple(runner.default_args)
            shared.state.begin(job=tab)
            try:
                chosen = [script for script in runner.selectable_scripts if script.title().lower() == name]
                processed = chosen[0].run(p, *args) if chosen else processing.process_images(p)
            finally:
                shared.state.end()
        return {"images": [_png(picture) for picture in processed.images], "info": processed.js()}

    def get_config(self) -> dict[str, Any]:
        """All settings."""
        return dict(shared.opts.data)

    def set_config(self, req: dict[str, Any]) -> None:
        """Changes some, and saves."""
        for key, value in req.items():
            shared.opts.set(key, value, is_api=True)
        shared.opts.save(shared.config_filename)

    def get_sd_models(self) -> list[dict[str, Any]]:
        """All checkpoints."""
        return [
            {"title": info.title, "model_name": info.model_name}
            for info in sd_models.checkpoints_list.values()
        ]

    def refresh_checkpoints(self) -> None:
        """Looks again."""
        sd_models.list_models()


def _png(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "png")
    return base64.b64encode(data.getvalue()).decode()
