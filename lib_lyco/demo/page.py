"""The page that shows everything the demo made. One file of HTML; pictures lie beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lib_lyco.demo.concepts import CONCEPTS, CONTROL_PROMPT
from lib_lyco.demo.experiment import Outcome, State
from lib_lyco.demo.recipe import NAMES

PAGE = "index.html"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Result:
    """An outcome, and the memory its process needed at most."""

    outcome: Outcome
    peak_bytes: int


def write_page(folder: Path, results: Sequence[Result]) -> Path:
    """Writes `index.html` into the demo's folder.

    Returns:
        Its path.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    path = folder / PAGE
    path.write_text(render_page(folder, results, style), encoding="utf-8")
    return path


def render_page(folder: Path, results: Sequence[Result], style: str) -> str:
    """The page's HTML.

    Args:
        folder: Where the page will lie; the algorithms' folders are inside it.
        results: One for each algorithm, in order.
        style: CSS.
    """
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>lyco demo</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            _introduction(),
            _training_pictures(),
            _summary(results),
            *(_section(folder, result.outcome) for result in results),
            "</main>\n</body>\n</html>\n",
        )
    )


def _introduction() -> str:
    return (
        "<header><h1>lyco demo</h1><p>A small Stable Diffusion model learned things it had never seen, "
        "from a few photographs, once with each algorithm. Every picture below was drawn from the same "
        "seeds; only the network on the model differs. The model is tiny and draws at 64 pixels: this "
        "shows <em>that</em> a network learns, not how pretty a large model is.</p></header>"
    )


def _training_pictures() -> str:
    figures = "".join(
        f'<figure><img src="{concept.name}.png" alt="training pictures">'
        f"<figcaption>all captioned “{escape(concept.caption)}”</figcaption></figure>"
        for concept in CONCEPTS
    )
    return f'<section><h2>The training pictures</h2><div class="row">{figures}</div></section>'


def _summary(results: Sequence[Result]) -> str:
    titles = (
        "algorithm",
        "file",
        "training",
        "in all",
        "peak memory",
        "final loss",
        "distance before → after",
    )
    rows = "\n".join(_summary_row(result) for result in results)
    return (
        '<section><h2>Side by side</h2><div class="scroll"><table class="summary">'
        f"<thead><tr>{_cells(titles, 'th')}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
        "<p class=note>Distance: of the pictures drawn at the concepts’ prompts to their nearest training "
        "picture, by colour layout, colour histogram and edges; 0 is a copy, 1 the opposite. Peak memory: "
        "of the process that loaded the model, trained and drew. Losses of different algorithms may be "
        "compared: order, noise and timesteps were the same.</p></section>"
    )


def _summary_row(result: Result) -> str:
    outcome = result.outcome
    before, after = outcome.distance_before, outcome.distance_after
    cells = (
        f'<a href="#{escape(outcome.algo)}">{escape(outcome.algo)}</a>',
        f"{outcome.file_bytes / 1024:,.0f} KB",
        f"{outcome.train_seconds:.0f} s",
        f"{outcome.seconds:.0f} s",
        f"{result.peak_bytes / MEGABYTE:,.0f} MB",
        f"{outcome.final_loss:.4f}",
        f'<span class="figures">{before:.3f} → {after:.3f}</span>{_bar(before, after)}',
    )
    return f"<tr>{_cells(cells, 'td')}</tr>"


def _bar(before: float, after: float) -> str:
    """A bar as long as the distance is now, on one as long as it was."""
    share = 100 * min(1.0, after / before) if before else 0.0
    return f'<span class="bar" aria-hidden="true"><span style="width:{share:.0f}%"></span></span>'


def _section(folder: Path, outcome: Outcome) -> str:
    algo = escape(outcome.algo)
    curve = (folder / outcome.algo / "loss.svg").read_text(encoding="utf-8")
    network = escape(outcome.network.name)
    verdict = (
        "With the network off again, the base model drew the same pictures bit for bit."
        if outcome.restored
        else "<strong>With the network off again, the base model drew other pictures than before.</strong>"
    )
    return (
        f'<section id="{algo}"><h2>{algo} <small>{escape(NAMES.get(outcome.algo, ""))}</small></h2>'
        f'<p>{outcome.num_steps} steps; <a href="{algo}/{network}">{network}</a> was applied to '
        f"{escape(outcome.layers)} layers. {verdict}</p>"
        f'<img class="sheet" src="{algo}/comparison.png" alt="{algo}: pictures in every state">'
        f'<div class="columns"><div><h3>Loss</h3>{curve}</div><div><h3>Every state</h3>'
        f"{_states(outcome.states)}</div></div>"
        f"<details><summary>Every setting (<code>lyco train {algo}/config.toml</code> makes this network "
        f"again)</summary><pre>{escape(outcome.toml)}</pre></details></section>"
    )


def _states(states: Iterable[State]) -> str:
    rows = "\n".join(
        "<tr>"
        + _cells(
            (
                escape(state.title),
                f"{state.distance:.3f}",
                f"{state.concept_change:.1f}",
                f"{state.control_change:.1f}",
            ),
            "td",
        )
        + "</tr>"
        for state in states
    )
    titles = ("state", "distance", "change", "change elsewhere")
    return (
        f'<div class="scroll"><table><thead><tr>{_cells(titles, "th")}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        "<p class=note>Change: mean difference from the base model’s pictures, of 255 levels; "
        f"elsewhere: at “{escape(CONTROL_PROMPT)}”, which no training picture shows.</p>"
    )


def _cells(texts: Iterable[str], tag: str) -> str:
    return "".join(f"<{tag}>{text}</{tag}>" for text in texts)
