"""The loss against diffusers' schedulers and hand-computed terms, on a model whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import Cond, NoiseSchedule, Prediction, SizeCond
from lib_lyco.network.load import load_network
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.compose.objective import make_objective
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.loss import LossSettings, WeightSettings, min_snr_weight
from lib_lyco.train.noise import NoiseSettings, TimestepSettings, draw
from lib_lyco.train.objective import (
    Batch,
    Kept,
    Objective,
    Preservation,
    add_noise,
    diffusion_loss,
    velocity,
)
from lib_lyco.train.seed import derived_generator
from lib_lyco.train.start import continue_from
from tests.train.test_run import final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]
LATENTS = torch.full((2, 4, 8, 8), 0.5)


def sd_scheduler() -> Any:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def generators(count: int) -> list[torch.Generator]:
    return [derived_generator("test", index) for index in range(count)]


def batch_of(weights: tuple[float, float] = (1.0, 0.5), **values: Any) -> Batch:
    return Batch(LATENTS, Cond(torch.zeros(2, 1, 1)), None, torch.tensor(weights), **values)


def test_noisy_latents_and_velocity_are_diffusers() -> None:
    scheduler = sd_scheduler()
    chance = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(5, 4, 3, 2, generator=chance) for _ in range(2))
    timesteps = torch.tensor([0, 1, 250, 500, 999])
    abar = scheduler.alphas_cumprod[timesteps]
    torch.testing.assert_close(
        add_noise(latents, noise, abar), scheduler.add_noise(latents, noise, timesteps)
    )
    torch.testing.assert_close(
        velocity(latents, noise, abar), scheduler.get_velocity(latents, noise, timesteps)
    )


class Predicts(TinyModel):
    """A model whose answer is known: a number, or a function of what it is asked."""

    def __init__(self, prediction: Prediction = "epsilon", answer: float = 0.25) -> None:
        super().__init__(prediction)
        self.value = answer
        self.seen: list[tuple[Tensor, Tensor, Cond]] = []

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        self.seen.append((noisy, timesteps, cond))
        return torch.full_like(noisy, self.value)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_loss_is_the_mean_squared_error_to_the_target(prediction: Prediction) -> None:
    drawn = draw(LATENTS, 1000, generators(2))
    abar = sd_scheduler().alphas_cumprod[drawn.timesteps]
    target = drawn.noise if prediction == "epsilon" else velocity(LATENTS, drawn.noise, abar)
    model = Predicts(prediction)
    errors = (0.25 - target).square().mean(dim=(1, 2, 3))
    expected = (errors * torch.tensor([1.0, 0.5])).mean()
    torch.testing.assert_close(diffusion_loss(Objective(), model, batch_of(), generators(2)), expected)
    weighted = (errors * torch.tensor([1.0, 0.5]) * min_snr_weight(abar, 5.0, prediction)).mean()
    by_snr = Objective(weights=WeightSettings(min_snr_gamma=5.0))
    torch.testing.assert_close(diffusion_loss(by_snr, model, batch_of(), generators(2)), weighted)
    noisy, timesteps, _ = model.seen[-1]
    torch.testing.assert_close(noisy, sd_scheduler().add_noise(LATENTS, drawn.noise, drawn.timesteps))
    assert torch.equal(timesteps, drawn.timesteps)


def test_disturbed_input_has_the_undisturbed_target() -> None:
    settings = NoiseSettings(ip_gamma=0.3)
    drawn, model = draw(LATENTS, 1000, generators(2), settings), Predicts()
    got = Objective(noise=settings).losses(model, batch_of((1.0, 1.0)), generators(2))
    torch.testing.assert_close(got, (0.25 - drawn.noise).square().mean(dim=(1, 2, 3)))
    expected = sd_scheduler().add_noise(LATENTS, drawn.added, drawn.timesteps)
    torch.testing.assert_close(model.seen[0][0], expected)
    assert not torch.allclose(drawn.added, drawn.noise)


def test_mask_is_area_resized_and_not_normalised() -> None:
    drawn = draw(LATENTS, 1000, generators(2))
    mask = torch.ones(2, 1, 64, 64)
    mask[0, :, :, :32] = 0.0  # the left half does not count
    mask[1, :, :4] = 0.0  # half of the first row of latents
    places = torch.ones(2, 1, 8, 8)
    places[0, :, :, :4], places[1, :, 0] = 0.0, 0.5
    expected = ((0.25 - drawn.noise).square() * places).mean(dim=(1, 2, 3))
    got = Objective().losses(Predicts(), batch_of((1.0, 1.0), mask=mask), generators(2))
    torch.testing.assert_close(got, expected)


def test_order_of_terms_is_kohyas() -> None:
    """Cost, mask, mean, the sample's weight, the timestep's weight: (TN:465-485) by hand."""
    drawn = draw(LATENTS, 1000, generators(2), timesteps=TimestepSettings(first=100, end=103))
    abar = sd_scheduler().alphas_cumprod[drawn.timesteps]
    mask = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    c = (1 - 0.1) / (1 + ((1 - abar) / abar).sqrt()) ** 2 + 0.1
    c = c.view(-1, 1, 1, 1)
    cost = 2 * c * (((0.25 - drawn.noise) ** 2 + c**2).sqrt() - c)
    expected = (cost * mask).mean(dim=(1, 2, 3)) * torch.tensor([1.0, 0.5])
    expected = expected * min_snr_weight(abar, 5.0, "epsilon")
    objective = Objective(
        loss=LossSettings("huber"),
        weights=WeightSettings(min_snr_gamma=5.0),
        timesteps=TimestepSettings(first=100, end=103),
    )
    got = objective.losses(Predicts(), batch_of(mask=mask), generators(2))
    torch.testing.assert_close(got, expected)


def composed(config: TrainConfig, model: TinyModel) -> Objective:
    network = make_network(config, model)
    return make_objective(config, model, network, lambda captions: model.encode_prompts(captions))


def test_noise_offset_by_timestep_is_of_the_models_own_schedule(make_config: Make) -> None:
    model = Predicts()
    config = make_config(noise_offset=0.5, noise_offset_by_timestep=True)
    weights = composed(config, model).noise.offset_by_timestep
    abar = sd_scheduler().alphas_cumprod.double()
    assert weights is not None and len(weights) == len(abar)
    # arXiv 2412.03134 in closed form, at the first timestep
    expected = ((1 - abar[0]) / (1 - abar[-1])).sqrt() * abar[-1] / abar[0]
    torch.testing.assert_close(weights[0], expected, rtol=1e-4, atol=0)
    assert composed(make_config(noise_offset=0.5), model).noise.offset_by_timestep is None


def test_zero_terminal_snr_trains_on_the_changed_schedule(make_config: Make) -> None:
    config = make_config(zero_terminal_snr=True, min_timestep=990, min_snr_gamma=5.0)
    model = Predicts("v")
    scheduler = sd_scheduler()
    abar = torch.cumprod(1 - rescale_zero_terminal_snr(scheduler.betas), dim=0)
    drawn = draw(LATENTS, 1000, generators(2), timesteps=TimestepSettings(first=990))
    target = velocity(LATENTS, drawn.noise, abar[drawn.timesteps])
    errors = (0.25 - target).square().mean(dim=(1, 2, 3))
    for weights, table in (("exact", abar), ("kohya", scheduler.alphas_cumprod)):
        objective = composed(config.replaced(zero_terminal_snr_weights=weights), model)
        got = objective.losses(model, batch_of((1.0, 1.0)), generators(2))
        expected = errors * min_snr_weight(table[drawn.timesteps], 5.0, "v")
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-7)
    schedule = composed(config, model).schedule
    assert schedule is not None
    assert schedule.alphas_cumprod[-1] == 0
    assert not torch.allclose(abar[drawn.timesteps], scheduler.alphas_cumprod[drawn.timesteps])


@pytest.mark.parametrize(
    ("values", "prediction", "field"),
    [
        ({"scale_v_pred_loss_like_noise_pred": True}, "epsilon", "scale_v_pred_loss_like_noise_pred"),
        ({"v_pred_like_loss": 0.1}, "v", "v_pred_like_loss"),
        (
            {"zero_terminal_snr": True, "debiased_estimation_loss": True},
            "epsilon",
            "zero_terminal_snr_weights",
        ),
    ],
)
def test_option_that_means_nothing_for_the_model_is_an_error(
    make_config: Make, values: dict[str, Any], prediction: Prediction, field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(make_config(**values), Predicts(prediction))
    assert caught.value.where == field
    other: Prediction = "v" if prediction == "epsilon" else "epsilon"
    composed(make_config(**values), Predicts(other))


class Switched(Predicts):
    """Answers 0.25 with a network, 0.75 without."""

    @contextmanager
    def without(self) -> Generator[None]:
        self.value = 0.75
        yield
        self.value = 0.25


def test_kept_samples_are_asked_for_the_base_models_own_answer() -> None:
    model, own = Switched(), Cond(torch.ones(2, 1, 1))
    kept = Kept(torch.tensor([False, True]), own)
    objective = Objective(without_network=model.without)
    got = objective.losses(model, batch_of((1.0, 1.0), kept=kept), generators(2))
    ordinary = Objective().losses(model, batch_of((1.0, 1.0)), generators(2))
    # (0.25 - 0.75)² for the second sample
    torch.testing.assert_close(got, torch.tensor([ordinary[0].item(), 0.25]))
    assert model.seen[0][2] is own


def test_outside_of_a_mask_the_base_models_own_answer_is_kept() -> None:
    """OneTrainer, masked_losses_with_prior: cost * mask + prior cost * (1 - mask) * weight."""
    model, mask = Switched(), torch.ones(2, 1, 8, 8)
    mask[0, :, :, :4], mask[1] = 0.0, 0.25
    kept = Kept(torch.tensor([False, False]), Cond(torch.ones(2, 1, 1)))
    objective = Objective(without_network=model.without, outside_mask=0.5)
    got = objective.losses(model, batch_of((1.0, 2.0), mask=mask, kept=kept), generators(2))
    inside = Objective().losses(model, batch_of((1.0, 2.0), mask=mask), generators(2))
    # (0.25 - 0.75)² over half of the first, at 3/4 of all of the second, which counts twice
    torch.testing.assert_close(got, inside + 0.5 * 0.25 * torch.tensor([0.5, 0.75 * 2]))


def test_preservation_adds_the_distance_from_the_base_models_answer() -> None:
    model, asked = Switched(), list[list[str]]()

    def encode(captions: Any) -> Cond:
        asked.append(list(captions))
        return Cond(torch.zeros(len(captions), 1, 1))

    objective = Objective(preservation=Preservation("1girl", 0.5, encode), without_network=model.without)
    got = objective.losses(model, batch_of(), generators(2))
    ordinary = Objective().losses(model, batch_of(), generators(2))
    torch.testing.assert_close(got, ordinary + 0.5 * (0.25 - 0.75) ** 2)
    assert asked == [["1girl", "1girl"]] * 2
    noisy = [seen[0] for seen in model.seen[:3]]
    assert all(torch.equal(noisy[0], other) for other in noisy)


def test_without_the_network_the_base_model_answers_as_before_training(make_config: Make) -> None:
    model = TinyModel()
    config = make_config(prior_prediction_weight=0.5, prior_caption="a cat")
    network = make_network(config, model)
    objective = make_objective(config, model, network, lambda captions: model.encode_prompts(captions))
    with torch.no_grad():
        alone = objective.losses(model, batch_with(model), generators(2))
        network.__enter__()
        untrained = objective.losses(model, batch_with(model), generators(2))
        for layer in network:
            for parameter in layer.parameters:
                parameter.add_(0.05)
        trained = objective.losses(model, batch_with(model), generators(2))
        ordinary = replace(objective, preservation=None)
        plain = ordinary.losses(model, batch_with(model), generators(2))
        with objective.without_network():
            muted = ordinary.losses(model, batch_with(model), generators(2))
        network.__exit__()
    # an untrained network keeps all answers; a trained one is charged for the difference
    torch.testing.assert_close(untrained, alone)
    torch.testing.assert_close(muted, alone)
    assert (trained > plain + 1e-4).all()


def batch_with(model: TinyModel) -> Batch:
    return Batch(LATENTS, model.encode_prompts(["a dog", "a dog"]), None, torch.ones(2))


def test_prior_prediction_holds_the_prior_caption_back(make_config: Make) -> None:
    """With the term, a run moves the base model's answers to the kept caption less than without it."""
    moved: list[float] = []
    for weight in (0.0, 10.0):
        caption = {"prior_caption": "object"} if weight else {}
        config = make_config(
            epochs=4, scheduler="constant", prior_prediction_weight=weight, overwrite=True, **caption
        )
        model = TinyModel()
        network = make_network(config, model)
        run(config, model)
        continue_from(network, load_network(final_file(config)), "trained")
        noisy = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(5))
        answers: list[Tensor] = []
        with torch.no_grad(), network:
            for mute in (True, False):
                with network.muted() if mute else nullcontext():
                    cond = model.encode_prompts(["object"] * 4)
                    answers.append(model.predict(noisy, torch.tensor([100, 300, 600, 900]), cond))
        moved.append(float((answers[1] - answers[0]).square().mean()))
    assert moved[1] < 0.5 * moved[0]


class AsVelocity(Predicts):
    """A model of noise that tells v instead: v = (eps - sqrt(1 - abar) x_t) / sqrt(abar)."""

    def __init__(self) -> None:
        super().__init__("v")

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        abar = self.schedule.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return (super().predict(noisy, timesteps, cond, size) - (1 - abar).sqrt() * noisy) / abar.sqrt()


def test_scaled_loss_of_v_is_the_loss_of_noise() -> None:
    """The same model, once as one of noise and once as one of v: s / (s + 1) makes the losses equal."""
    times = TimestepSettings(first=50)  # where s is below 1000, to which the weight is limited
    noise = Objective(timesteps=times).losses(Predicts("epsilon"), batch_of(), generators(2))
    scaled = Objective(timesteps=times, weights=WeightSettings(scale_v_pred=True))
    torch.testing.assert_close(scaled.losses(AsVelocity(), batch_of(), generators(2)), noise)
    plain = Objective(timesteps=times).losses(AsVelocity(), batch_of(), generators(2))
    assert not torch.allclose(plain, noise, rtol=0.1)


def test_schedule_of_the_objective_goes_before_the_models() -> None:
    # at abar = 0 the noisy latents are the noise itself
    schedule = NoiseSchedule(torch.zeros(1000), "epsilon")
    model = Predicts()
    Objective(schedule=schedule).losses(model, batch_of(), generators(2))
    torch.testing.assert_close(model.seen[0][0], draw(LATENTS, 1000, generators(2)).noise)
