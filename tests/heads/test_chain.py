"""The BIO chain: against pytorch-crf, and against trying every tag path."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchcrf import CRF

from qakit_heads.chain import BEGIN, INSIDE, OUTSIDE, TAGS, Transitions, log_partition, path_score, tags_of, viterbi
from qakit_heads.chain_scan import scan_order

Path = tuple[int, ...]


def random_transitions(generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Transitions:
    shapes = ((TAGS, TAGS), (TAGS,), (TAGS,))
    parts = (torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes)
    return Transitions(*parts)


def parameters(transitions: Transitions) -> tuple[Tensor, Tensor, Tensor]:
    return transitions.between, transitions.start, transitions.end


def legal_paths(mask: Tensor) -> list[Path]:
    """Every legal tag path over the positions of one window's chain."""
    places = mask.nonzero().flatten().tolist()
    paths = []
    for path in itertools.product((OUTSIDE, BEGIN, INSIDE), repeat=len(places)):
        steps = zip(path, (None, *path), places, (None, *places), strict=False)
        if all(
            tag != INSIDE or (before in (BEGIN, INSIDE) and place_before == place - 1)
            for tag, before, place, place_before in steps
        ):
            paths.append(path)
    return paths


def score(emissions: Tensor, transitions: Transitions, mask: Tensor, path: Path) -> Tensor:
    """The plain score of a path in one window, as the textbook has it."""
    if not path:
        return 0.0 * emissions.sum()
    total = transitions.start[path[0]] + transitions.end[path[-1]]
    total = total + sum(emissions[place, tag] for place, tag in zip(mask.nonzero().flatten(), path, strict=True))
    return total + sum(transitions.between[before, tag] for before, tag in itertools.pairwise(path))


def span_path(mask: Tensor, first: int, last: int) -> Path:
    places = mask.nonzero().flatten().tolist()
    return tuple(BEGIN if place == first else INSIDE if first < place <= last else OUTSIDE for place in places)


def random_window(generator: torch.Generator, width: int) -> tuple[Tensor, int, int]:
    """A mask with gaps that keeps position 0 free, and a target within one run of it; (0, 0) every third time."""
    mask = torch.rand(width, generator=generator) < 0.75
    mask[0] = False
    places = mask.nonzero().flatten().tolist()
    if not places or int(torch.randint(3, (), generator=generator)) == 0:
        return mask, 0, 0
    first = last = places[int(torch.randint(len(places), (), generator=generator))]
    while last + 1 < width and mask[last + 1] and int(torch.randint(3, (), generator=generator)):
        last += 1
    return mask, first, last


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 8), st.integers(1, 3))
def test_loss_and_gradients_are_those_of_trying_every_path(seed: int, width: int, size: int) -> None:
    """Any mask, gaps between contexts included."""
    generator = torch.Generator().manual_seed(seed)
    transitions = random_transitions(generator)
    emissions = (3 * torch.randn(size, width, TAGS, generator=generator, dtype=torch.float64)).requires_grad_()
    masks, firsts, lasts = zip(*(random_window(generator, width) for _ in range(size)), strict=True)
    mask, first, last = torch.stack(masks), torch.tensor(firsts), torch.tensor(lasts)

    wanted = []
    for row in range(size):
        every = torch.stack([score(emissions[row], transitions, mask[row], path) for path in legal_paths(mask[row])])
        target = span_path(mask[row], firsts[row], lasts[row])
        wanted.append(every.logsumexp(0) - score(emissions[row], transitions, mask[row], target))
    got = log_partition(emissions, transitions, mask) - path_score(
        emissions, transitions, mask, tags_of([(first, last)], mask)
    )

    torch.testing.assert_close(got, torch.stack(wanted))
    inputs = (emissions, *parameters(transitions))
    expected = torch.autograd.grad(torch.stack(wanted).sum(), inputs, materialize_grads=True)
    for gradient, reference in zip(torch.autograd.grad(got.sum(), inputs), expected, strict=True):
        torch.testing.assert_close(gradient, reference)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_the_score_of_any_path_is_that_of_the_textbook(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    transitions = random_transitions(generator)
    emissions = torch.randn(width, TAGS, generator=generator, dtype=torch.float64)
    mask = random_window(generator, width)[0]
    paths = legal_paths(mask)
    tags = torch.full((len(paths), width), -1).masked_scatter(
        mask.expand(len(paths), -1), torch.tensor(paths, dtype=torch.int64).flatten()
    )
    repeated = emissions.expand(len(paths), -1, -1), transitions, mask.expand(len(paths), -1)
    nothing = score(emissions, transitions, mask, (OUTSIDE,) * int(mask.sum()))
    wanted = torch.stack([score(emissions, transitions, mask, path) - nothing for path in paths])
    torch.testing.assert_close(path_score(*repeated, tags), wanted)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 8))
def test_viterbi_finds_the_best_path(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    transitions = random_transitions(generator)
    emissions = torch.randn(3, width, TAGS, generator=generator, dtype=torch.float64)
    mask = torch.stack([random_window(generator, width)[0] for _ in range(3)])
    tags = viterbi(emissions, transitions, mask)
    assert (tags[~mask] == -1).all()
    for row in range(3):
        best = max(
            legal_paths(mask[row]), key=lambda path, row=row: score(emissions[row], transitions, mask[row], path).item()
        )
        assert tuple(tags[row][mask[row]].tolist()) == best


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 65, 131])
def test_agrees_with_pytorch_crf(length: int) -> None:
    """Loss, all gradients and best path; contexts that begin at different positions and have different lengths."""
    generator = torch.Generator().manual_seed(length)
    size, width = 5, length + 6
    crf = CRF(TAGS, batch_first=True).double()
    with torch.no_grad():
        crf.transitions[OUTSIDE, INSIDE] = crf.start_transitions[INSIDE] = -1e4
    transitions = Transitions(
        *(
            part.detach().clone().requires_grad_()
            for part in (crf.transitions, crf.start_transitions, crf.end_transitions)
        )
    )
    offset = torch.randint(1, 6, (size,), generator=generator)
    tokens = torch.randint(1, length + 1, (size,), generator=generator)
    place = torch.arange(width)
    mask = (place >= offset[:, None]) & (place < (offset + tokens)[:, None])
    emissions = torch.randn(size, width, TAGS, generator=generator, dtype=torch.float64, requires_grad=True)
    begin = (torch.rand(size, generator=generator) * tokens).long()
    longer = (torch.rand(size, generator=generator) * (tokens - begin)).long()
    first, last = offset + begin, offset + begin + longer
    first[0] = last[0] = 0

    # pytorch-crf wants chains that begin at 0.
    chain = place[:length] < tokens[:, None]
    shifted = emissions.gather(1, (offset[:, None] + place[:length])[..., None].expand(-1, -1, TAGS))
    tags = torch.zeros(size, length, dtype=torch.int64)
    for row in range(1, size):
        tags[row, begin[row]] = BEGIN
        tags[row, begin[row] + 1 : begin[row] + longer[row] + 1] = INSIDE
    theirs = -crf(shifted, tags, mask=chain, reduction="mean")
    ours = (
        log_partition(emissions, transitions, mask)
        - path_score(emissions, transitions, mask, tags_of([(first, last)], mask))
    ).mean()

    torch.testing.assert_close(ours, theirs)
    their_inputs = emissions, crf.transitions, crf.start_transitions, crf.end_transitions
    their_gradients = torch.autograd.grad(theirs, their_inputs, materialize_grads=True)
    our_gradients = torch.autograd.grad(ours, (emissions, *parameters(transitions)))
    for gradient, reference in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(gradient, reference)
    best = viterbi(emissions, transitions, mask)
    assert [best[row][mask[row]].tolist() for row in range(size)] == crf.decode(shifted, mask=chain)


def test_the_derivative_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    transitions = random_transitions(generator)
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    emissions = torch.randn(3, 7, TAGS, generator=generator, dtype=torch.float64, requires_grad=True)

    def total(emissions: Tensor, between: Tensor, start: Tensor, end: Tensor) -> Tensor:
        return log_partition(emissions, Transitions(between, start, end), mask)

    assert torch.autograd.gradcheck(total, (emissions, *parameters(transitions)))


def test_illegal_steps_are_never_taken() -> None:
    """However good they look: no I at the start, after O, or at the first token of the second context."""
    transitions = Transitions(torch.zeros(TAGS, TAGS), torch.zeros(TAGS), torch.zeros(TAGS))
    transitions.between[OUTSIDE, INSIDE] = transitions.start[INSIDE] = 1e6
    emissions = torch.zeros(1, 8, TAGS, requires_grad=True)
    with torch.no_grad():
        emissions[..., INSIDE] = 30.0
    mask = torch.tensor([[0, 1, 1, 1, 0, 1, 1, 0]], dtype=torch.bool)
    best = viterbi(emissions, transitions, mask)
    assert best.tolist() == [[-1, BEGIN, INSIDE, INSIDE, -1, BEGIN, INSIDE, -1]]
    log_partition(emissions, transitions, mask).sum().backward()
    assert emissions.grad is not None
    inside = emissions.grad[0, :, INSIDE]
    assert inside[[1, 5]].tolist() == [0.0, 0.0]  # the probability of I, exactly
    assert inside[[2, 3, 6]] == pytest.approx(1.0)


def test_barred_parameters_get_no_gradient_and_do_not_count() -> None:
    generator = torch.Generator().manual_seed(1)
    transitions = random_transitions(generator)
    emissions = torch.randn(2, 9, TAGS, generator=generator, dtype=torch.float64)
    mask = torch.ones(2, 9, dtype=torch.bool)
    total = log_partition(emissions, transitions, mask)
    between, start = torch.autograd.grad(total.sum(), (transitions.between, transitions.start))
    assert between[OUTSIDE, INSIDE] == start[INSIDE] == 0
    with torch.no_grad():
        transitions.between[OUTSIDE, INSIDE] = transitions.start[INSIDE] = torch.nan
    torch.testing.assert_close(log_partition(emissions, transitions, mask), total)


def test_a_window_without_context_has_one_path() -> None:
    generator = torch.Generator().manual_seed(2)
    transitions = random_transitions(generator)
    emissions = torch.randn(2, 5, TAGS, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[False] * 5, [False, True, True, False, False]])
    zero = torch.zeros(2, dtype=torch.int64)
    loss = log_partition(emissions, transitions, mask) - path_score(
        emissions, transitions, mask, tags_of([(zero, zero)], mask)
    )
    assert loss[0].item() == 0
    (gradient,) = torch.autograd.grad(loss.sum(), emissions)
    assert (gradient[~mask] == 0).all()
    assert (viterbi(emissions, transitions, mask)[0] == -1).all()


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4])
def test_float32_does_for_long_windows_and_large_scores(scale: float) -> None:
    generator = torch.Generator().manual_seed(3)
    transitions = random_transitions(generator, torch.float32)
    emissions = scale * torch.randn(4, 512, TAGS, generator=generator)
    emissions[..., OUTSIDE] += 3 * scale  # as in a trained model
    mask = torch.ones(4, 512, dtype=torch.bool)
    mask[:, 0] = False
    wide = Transitions(*(part.detach().double() for part in parameters(transitions)))
    exact = log_partition(emissions.double(), wide, mask)
    emissions.requires_grad_()
    total = log_partition(emissions, transitions, mask)
    torch.testing.assert_close(total.double(), exact, rtol=1e-5, atol=1e-5)
    for gradient in torch.autograd.grad(total.sum(), (emissions, *parameters(transitions))):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("count", [*range(1, 20), 384, 511])
def test_scan_order_is_a_permutation_with_the_last_position_last(count: int) -> None:
    order, back = scan_order(count, torch.device("cpu"))
    assert sorted(order.tolist()) == list(range(count))
    assert order[-1] == count - 1
    assert order[back].tolist() == list(range(count))


def test_scan_orders_made_for_prediction_serve_training() -> None:
    """They are kept; tensors made in inference mode could not take part in training later."""
    transitions = random_transitions(torch.Generator().manual_seed(4))
    emissions, mask = torch.zeros(1, 1021, TAGS, dtype=torch.float64), torch.ones(1, 1021, dtype=torch.bool)
    with torch.inference_mode():
        viterbi(emissions, transitions, mask)
    log_partition(emissions.requires_grad_(), transitions, mask).sum().backward()
    assert emissions.grad is not None
