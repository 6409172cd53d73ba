"""Training of the embedded model, from the facts to a folder of weights."""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from attentropy.engine.demo import path
from attentropy.engine.demo.training.batches import batches
from attentropy.engine.demo.training.optimizer import Muon
from attentropy.engine.demo.training.tokenizer import build

_DESCRIPTION = (
    "Trains the embedded model from the facts: python -m attentropy.engine.demo.training.train"
)


@dataclass(frozen=True)
class Recipe:
    """The settings that determine the weights."""

    vocabulary: int = 1024  # tokens by merges; whole words for names come on top
    width: int = 128
    layers: int = 8
    heads: int = 4
    key_heads: int = 2
    inner: int = 256
    positions: int = 4096
    steps: int = 1600
    tokens: int = 4096
    rate: float = 0.01  # of the matrices (Muon)
    embedding_rate: float = 0.003  # of the embeddings and norms (AdamW)
    decay: float = 0.05
    warmup: int = 50
    cooldown: float = 0.5  # the share of the steps over which the rate falls to zero
    seed: int = 1


def model_of(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return the untrained model; its head is a matrix of its own, not the embedding's."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=recipe.inner,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.key_heads,
            max_position_embeddings=recipe.positions,
            tie_word_embeddings=False,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor, spoken: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy (nats) of the assistant's tokens.

    The head is computed for those alone.
    """
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    targets = spoken[:, 1:]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[targets]), ids[:, 1:][targets])


def schedule(step: int, recipe: Recipe) -> float:
    """Return the factor of the learning rate: warm-up, constant, then linear down to zero."""
    left = (recipe.steps - step) / (recipe.cooldown * recipe.steps)
    return min(1.0, (step + 1) / recipe.warmup, max(left, 0.0))


def losses(
    recipe: Recipe, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> Iterator[float]:
    """Train the model in place and yield the loss of each step."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    of_matrices = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in of_matrices]
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (Muon(matrices, decay=recipe.decay), recipe.rate),
        (torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.01), recipe.embedding_rate),
    ]
    stream = batches(tokenizer, recipe.tokens, recipe.positions, recipe.seed)
    for step in range(recipe.steps):
        loss = loss_of(model, *next(stream))
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule(step, recipe)
            optimizer.step()
        yield loss.item()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a Hugging Face folder, completely or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".weights-") as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            do_sample=False,
        )
        model.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        fresh.chmod(0o755)
        for file in fresh.iterdir():
            file.chmod(0o644)
        if folder.exists():
            shutil.move(folder, old)
        shutil.move(fresh, folder)


def main() -> None:
    """Run the command line."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("-o", "--output", type=Path, default=path(), help="folder to write")
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument(
        "--also-at",
        nargs=2,
        action="append",
        default=[],
        metavar=("STEP", "FOLDER"),
        help="also write the model as it is after this step (repeatable)",
    )
    args = parser.parse_args()
    recipe = Recipe(steps=args.steps, seed=args.seed)
    also = {int(step): Path(folder) for step, folder in args.also_at}
    if invalid := [step for step in also if not 0 < step <= recipe.steps]:
        parser.error(f"--also-at {invalid[0]}: there are steps 1 to {recipe.steps}")
    torch.set_num_threads(1)  # sums then have one order, and a seed gives one model
    tokenizer = build(recipe.vocabulary, recipe.seed, recipe.positions)
    model = model_of(recipe, tokenizer)
    print(f"{model.num_parameters():,} parameters, {recipe.steps} steps, seed {recipe.seed}")
    begin, mean = time.perf_counter(), math.nan
    for step, loss in enumerate(losses(recipe, model, tokenizer), 1):
        mean = loss if math.isnan(mean) else 0.98 * mean + 0.02 * loss
        if step % 50 == 0 or step == recipe.steps:
            print(
                f"step {step:5d}  loss {mean:.4f}  {time.perf_counter() - begin:4.0f} s", flush=True
            )
        if step in also:
            save(model, tokenizer, also[step])
    save(model.eval(), tokenizer, args.output)


if __name__ == "__main__":
    main()
