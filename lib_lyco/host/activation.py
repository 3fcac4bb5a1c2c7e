"""The host calls us: a tag, a model, a step."""

from __future__ import annotations

from modules import call_queue, extra_networks, script_callbacks
from modules.extra_networks import ExtraNetworkParams
from modules.processing import StableDiffusionProcessing

from lib_lyco.host.app import HostApp
from lib_lyco.host.takeover import Takeover

NEEDS = (
    ("modules.extra_networks", "ExtraNetwork"),
    ("modules.extra_networks", "extra_network_registry"),
    ("modules.sd_models", "model_data"),
    ("modules.processing", "StableDiffusionProcessing.comment"),
    ("modules.script_callbacks", "on_before_ui"),
    ("modules.script_callbacks", "on_app_started"),
    ("modules.script_callbacks", "on_cfg_denoiser"),
    ("modules.script_callbacks", "on_model_loaded"),
    ("modules.call_queue", "queue_lock"),
)


def register(app: HostApp) -> None:
    """Puts our entry into the host's registry of tags, and follows models and steps."""
    engine = app.engine
    takeover = Takeover(app)
    network = LycoNetwork(app, takeover)

    def on_step(params: script_callbacks.CFGDenoiserParams) -> None:
        engine.step(params.denoiser.p, params.sampling_step, params.total_sampling_steps)

    def unload() -> None:
        # a picture that is being drawn keeps its networks to its end
        with call_queue.queue_lock:
            takeover.withdraw()
            engine.close()

    def settle() -> None:
        takeover.settle(network)

    script_callbacks.on_before_ui(settle)
    script_callbacks.on_app_started(lambda demo, api: settle())
    script_callbacks.on_model_loaded(engine.renew)
    script_callbacks.on_cfg_denoiser(on_step)
    app.at_unload(unload)


class LycoNetwork(extra_networks.ExtraNetwork):
    """Acts on `<lora:>` and `<lyco:>`. One object for both, so that one prompt's tags are one set."""

    def __init__(self, app: HostApp, takeover: Takeover) -> None:
        super().__init__("lora")
        self._app = app
        self._takeover = takeover

    def activate(self, p: StableDiffusionProcessing, params_list: list[ExtraNetworkParams]) -> None:
        """Before each batch and its second pass; also while a model loads, when `p` is a shell."""
        if self._takeover.leave(p, params_list):
            return
        given = self._takeover.hand_over(self, p, params_list)
        refusal = self._takeover.refusal(p) if given else None
        if refusal is None:
            self._app.engine.begin(p, self._takeover.tags(self, p, given))
        else:
            self._app.engine.begin(p, (), (refusal,))

    def deactivate(self, p: StableDiffusionProcessing) -> None:
        """Nothing: the next activation changes what has to change, and an equal set costs nothing."""
