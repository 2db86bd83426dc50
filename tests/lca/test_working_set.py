"""The working-set encoder against the float64 transcription, and its certificate against the truth."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseld_cli.lca import atoms, certificate, encoder, path, screening, search, working_set
from dseld_cli.lca.atoms import TILE, Atoms
from dseld_cli.lca.certificate import Certificates, Precision, certify
from dseld_cli.lca.encoder import Encoder
from dseld_cli.lca.recurrence import LCAParams, unstable
from dseld_cli.lca.subgramian import StoredGramian, WorkingSet, from_store
from tests.reference import lca_float64

TIE = 1e-4


def blocks(Phi, rows=37):
    return lambda: ((slice(i, min(i + rows, len(Phi))), Phi[i : i + rows]) for i in range(0, len(Phi), rows))


def tiles(Phi, rows=41):
    G = Phi @ Phi.T
    cuts = [slice(i, min(i + rows, len(Phi))) for i in range(0, len(Phi), rows)]
    return lambda: ((r, c, np.ascontiguousarray(G[r, c])) for i, r in enumerate(cuts) for c in cuts[: i + 1])


def encode(S, Phi, params, excluded=None, **options):
    """Code by working sets, however small the problem, over atoms that come in ragged blocks or lie in memory."""
    rows = Atoms.of(Phi) if options.pop("resident", False) else Atoms(Phi.shape, blocks(Phi))
    if options.get("gramian"):
        options["gramian"] = tiles(Phi)
    with mock.patch.object(encoder, "SMALL", 0):
        return Encoder(rows, params, **options).encode(S, excluded)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(M=600, N=48, B=12, seed=0, positive=True, size=12.0):
    """Images and atoms around shared centres, as features of classes are: (S (B, N), Phi (M, N))."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, N))
    rows = centres[rng.integers(8, size=M + B)] + rng.standard_normal((M + B, N))
    rows = np.abs(rows) if positive else rows
    return (size * unit(rows[M:])).astype(np.float32), unit(rows[:M])


def dense(coded, n_atoms):
    code = np.zeros((len(coded.codes), n_atoms))
    code[coded.codes.image_of_value(), coded.codes.indices] = coded.codes.values
    return code


def assert_same(coded, S, Phi, params, excluded=None):
    """Codes, firing counts and energies of all images whose recurrence is stable equal the transcription's."""
    for i, image in enumerate(S):
        allowed = np.setdiff1d(np.arange(len(Phi)), excluded[i] if excluded else [])
        true = lca_float64(image[None], Phi[allowed], params.lambda_, params.tau, params.steps)
        if unstable(true.energy)[0]:
            assert coded.report.unstable[i] or np.ptp(true.energy[0]) < 1e-4  # a ripple that float32 cannot see
            continue
        code = dense(coded, len(Phi))[i]
        np.testing.assert_allclose(code[allowed], true.code[0], atol=1e-4)
        assert np.count_nonzero(np.delete(code, allowed)) == 0
        tied = np.abs(np.abs(true.potential[0]) - params.lambda_) < TIE  # (K, M)
        assert (((code[allowed] != 0) == (true.code[0] != 0)) | tied[-1]).all()
        assert (np.abs(coded.codes.firing[i] - true.firing[0]) <= tied.sum(axis=1)).all()
        fired = (np.abs(true.potential[0]) > params.lambda_).any(axis=0).sum()
        assert abs(coded.report.fired[i] - fired) <= tied.any(axis=0).sum()
        size = max(1.0, float(image @ image))
        np.testing.assert_allclose(coded.energy[i], true.energy[0], atol=1e-4 * size)


@contextmanager
def means(kind):
    """Code by other means than those that pay for a problem of this size: options of the encoder."""
    options = {"rounded": False}
    prepared = mock.patch.multiple(screening, WORTHWHILE=0, TILE=64)
    if kind == "atoms read once":
        yield options
    elif kind == "sketch":
        with prepared:
            yield options
    elif kind in ("integers", "bfloat16"):
        if kind == "integers" and not screening.multiplies_integers():
            pytest.skip("no kernels of integers for this processor")
        with prepared, mock.patch.object(screening, "multiplies_integers", lambda: kind == "integers"):
            yield {"rounded": True}
    elif kind == "integers, a copy":
        with prepared, mock.patch.object(screening, "FEW", 10**6):
            yield options | {"resident": True}
    else:
        yield options | {"gramian": True}


MEANS = ["atoms read once", "sketch", "integers", "integers, a copy", "bfloat16", "gramian"]


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("kind", MEANS)
def test_code_is_the_direct_recurrence_s_and_every_image_is_proved(positive, kind):
    S, Phi = clustered(positive=positive)
    params = LCAParams(2.0, 100.0, 100)
    with mock.patch.multiple(working_set, START=20, MOST_GUESSED=20, MOST_VIOLATORS=60), means(kind) as options:
        coded = encode(S, Phi, params, **options)
    assert coded.report.proved.all()
    assert (coded.report.products < 20).all()
    assert_same(coded, S, Phi, params)


@st.composite
def problems(draw):
    """Draw (S, Phi, params, excluded, start, kind): few atoms, many of them alike, and odd images."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    M, N, B = draw(st.integers(1, 90)), draw(st.integers(2, 20)), draw(st.integers(1, 4))
    mean = draw(st.sampled_from([0.0, 0.5, 2.0]))
    Phi = unit(rng.standard_normal((M, N)) + mean)
    if draw(st.booleans()):
        Phi = Phi[rng.integers(M, size=M)]  # duplicated atoms
    S = rng.standard_normal((B, N)) + mean
    S *= draw(st.sampled_from([0.1, 1.0, 5.0])) / np.linalg.norm(S, axis=1, keepdims=True)
    kind = draw(st.sampled_from(["any", "zero", "atom"]))
    if kind == "zero":
        S[0] = 0
    elif kind == "atom":
        S[0] = draw(st.sampled_from([1.0, 5.0])) * Phi[0]
    params = LCAParams(
        draw(st.sampled_from([0.01, 0.1, 0.5, 2.0])),
        draw(st.sampled_from([1.0, 10.0, 100.0])),
        draw(st.sampled_from([1, 2, 4, 30, 300])),
    )
    excluded = None
    if draw(st.booleans()):
        excluded = [rng.choice(M, size=rng.integers(0, min(M, 5) + 1), replace=False) for _ in range(B)]
    return S.astype(np.float32), Phi, params, excluded, draw(st.sampled_from([1, 5, 192])), draw(st.sampled_from(MEANS))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_any_dictionary_any_image_any_parameters(problem):
    S, Phi, params, excluded, start, kind = problem
    with mock.patch.object(working_set, "START", start), means(kind) as options:
        coded = encode(S, Phi, params, excluded, **options)
    assert_same(coded, S, Phi, params, excluded)


def test_ten_thousand_steps_need_no_more_products_than_a_hundred():
    S, Phi = clustered(B=3)
    params = LCAParams(2.0, 100.0, 10_000)
    with mock.patch.multiple(working_set, START=40, MOST_VIOLATORS=60):
        coded = encode(S, Phi, params)
    assert coded.report.proved.all()
    assert (coded.report.products < 25).all()
    assert_same(coded, S, Phi, params)


def test_images_whose_working_sets_do_not_fit_together_are_coded_in_smaller_batches():
    S, Phi = clustered()
    params = LCAParams(2.0, 100.0, 100)
    with mock.patch.multiple(working_set, START=20, MOST_VIOLATORS=60, TYPICAL=20, LARGEST=200):
        coded = encode(S, Phi, params, batch=len(S))
    assert coded.report.proved.all()
    assert coded.report.products.max() > coded.report.products.min(), "who waits is screened once more"
    assert_same(coded, S, Phi, params)


def test_matrices_of_working_sets_never_take_more_memory_together_than_was_said(monkeypatch):
    """Neither at first, nor when hundreds of atoms join many images at once."""
    S, Phi = clustered()

    def together():
        return encode(S, Phi, LCAParams(2.0), batch=len(S))

    taken, simulate = [], working_set.WorkingSets._simulate

    def watched(self, images, *rest):
        taken.append(sum(len(image.working_set) ** 2 for image in images))
        return simulate(self, images, *rest)

    monkeypatch.setattr(working_set.WorkingSets, "_simulate", watched)
    small = {"START": 20, "TYPICAL": 20, "LARGEST": 200, "MOST_VIOLATORS": 60}
    with mock.patch.multiple(working_set, **small):
        assert_same(together(), S, Phi, LCAParams(2.0))
        assert max(taken) <= len(S) * 20**2 + 200**2
    all_at_once = mock.patch.object(working_set, "put_off", lambda images, *_: images)
    with mock.patch.multiple(working_set, **small), all_at_once:
        taken.clear()
        together()
        assert max(taken) > len(S) * 20**2 + 200**2, "the problem is too small to show anything"


def test_an_image_s_code_does_not_depend_on_its_batch():
    S, Phi = clustered()
    params = LCAParams(2.0, 100.0, 100)
    together = dense(encode(S, Phi, params), len(Phi))
    alone = dense(encode(S[3:4], Phi, params), len(Phi))
    np.testing.assert_allclose(together[3], alone[0], atol=1e-5)


def test_where_nearly_all_neurons_fire_the_direct_form_is_used_and_reported():
    S, Phi = clustered(M=300, N=200, size=1.0, positive=False)
    params = LCAParams(1e-3, 100.0, 20)
    with mock.patch.object(working_set, "START", 10):
        coded = encode(S, Phi, params)
    assert not coded.report.proved.any()
    assert_same(coded, S, Phi, params)


def test_an_image_of_zeros_has_no_references_and_no_code():
    """Its path needs none: the largest inner product of every atom with it is 0."""
    over = np.full(5, 9.0, np.float32)
    room = np.full(certificate.KNOTS, 1.5, np.float32)
    weights, relative = np.zeros((certificate.KNOTS, 6), np.float32), np.zeros(certificate.KNOTS, np.float32)
    search.excess(np.zeros((0, 5), np.float32), weights, relative, room, over)
    assert (over == -1.5).all()
    S, Phi = clustered()
    S[1] = 0
    coded = encode(S, Phi, LCAParams(2.0, 100.0, 100))
    assert coded.report.proved[1]
    assert coded.codes.firing[1].sum() == 0
    assert_same(coded, S, Phi, LCAParams(2.0, 100.0, 100))


@pytest.mark.parametrize("kind", MEANS)
def test_a_batch_of_nothing_but_zeros_has_no_references_at_all(kind):
    S, Phi = clustered()
    with means(kind) as options:
        coded = encode(np.zeros_like(S), Phi, LCAParams(2.0, 100.0, 100), **options)
    assert coded.report.proved.all()
    assert len(coded.codes.values) == 0


@pytest.mark.parametrize("order", ["by class", "shuffled"])
def test_a_sketch_is_near_the_best_directions_in_whatever_order_atoms_stand(order):
    rng = np.random.default_rng(5)
    classes = [rng.standard_normal((TILE, 6)) @ rng.standard_normal((6, 64)) for _ in range(4)]
    Phi = unit(np.concatenate(classes) + 0.5 * rng.standard_normal((4 * TILE, 64)))
    Phi = Phi if order == "by class" else rng.permutation(Phi)

    sketch = screening.Sketch.of(Atoms.of(Phi))
    singular = np.linalg.svd(Phi, compute_uv=False)
    best = (singular[: len(sketch.basis)] ** 2).sum()

    assert (sketch.projected**2).sum() > 0.9 * best
    np.testing.assert_allclose(sketch.basis @ sketch.basis.T, np.eye(16), atol=1e-5)
    in_blocks = screening.Sketch.of(Atoms(Phi.shape, blocks(Phi, rows=1000)))
    np.testing.assert_array_equal(in_blocks.basis, sketch.basis)


def test_the_strongest_are_kept_with_what_belongs_to_them_and_the_floor_is_what_may_be_missing():
    """As sorting keeps them; of equal scores, which are many here, any."""
    rng = np.random.default_rng(0)
    for room in (2, 6, 64):
        scores = rng.integers(0, 12, 500).astype(np.float32)
        ids, kept, known = np.zeros(room, np.int64), np.zeros(room, np.float32), np.zeros((room, 2), np.float32)
        count, floor = 0, -np.inf
        for atom, score in enumerate(scores):
            if score > floor:
                products = np.array([atom, -atom, 7], np.float32)
                count, floor = search.keep(ids, kept, known, count, floor, atom, score, products)
        best = np.sort(scores)[::-1]
        assert count >= room // 2 or (scores > floor).sum() < room // 2
        assert floor <= best[room // 2 - 1]
        assert len(set(ids[:count])) == count
        np.testing.assert_array_equal(kept[:count], scores[ids[:count]])
        np.testing.assert_array_equal(known[:count], np.column_stack([ids[:count], -ids[:count]]))
        assert set(np.flatnonzero(scores > floor)) <= set(ids[:count])


@given(st.lists(st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=40), st.data())
def test_the_kth_largest_is_the_one_of_sorting(values, data):
    scores, k = np.array(values, np.float32), data.draw(st.integers(1, len(values)))
    assert search.kth_largest(scores, k) == np.sort(scores)[-k]


@pytest.mark.parametrize("knot", [0, 3, certificate.KNOTS - 1])
def test_what_is_no_number_at_any_knot_proves_nothing(knot):
    Phi = unit(np.random.default_rng(0).random((3, 8))).astype(np.float32)
    knots = np.zeros((certificate.KNOTS, 8), np.float32)
    knots[knot] = np.nan
    room = np.ones(certificate.KNOTS, np.float32)
    weights, relative = np.zeros((certificate.KNOTS, 6), np.float32), np.zeros(certificate.KNOTS, np.float32)
    found = search.second_look(
        Phi, np.arange(3), np.zeros((3, 0), np.float32), Phi[:1], weights, relative, room, knots, room, -2.0
    )
    assert np.isinf(found).all()
    leak, reserve = np.linspace(0, 1, certificate.KNOTS), np.zeros(certificate.KNOTS)
    assert certificate.shift(1.0, np.zeros_like(knots), leak, reserve, knots, leak, reserve) == np.inf


def test_a_diverging_recurrence_is_reported():
    S = np.full((2, 16), 5.0, np.float32)
    Phi = unit(np.ones((210, 16)))
    assert encode(S, Phi, LCAParams(1.0, 10.0, 60)).report.unstable.all()


def certificate_of(S, Phi, W, params, **wrong):
    """Certificate of one image from a simulation of W, some of whose ingredients may be `wrong`."""
    precision = Precision(1.0001, 1e-6)
    gram, b = Phi[W] @ Phi[W].T, (Phi[W] @ S).astype(np.float64)
    *_, fired, A, leak, gap = path.simulate(
        gram, b, np.arange(len(W)), float(np.linalg.norm(S)), 1e-5, params.lambda_, params.tau, params.steps,
        certificate.KNOTS,
    )  # fmt: skip
    found = {"means": A, "leak": leak, "gap": gap} | {name: f({"means": A}) for name, f in wrong.items()}
    into = Certificates.empty(1, Phi.shape[1])
    certify(0, S, Phi, W[fired], (found["means"], found["leak"], found["gap"]), params.lambda_, precision, into)
    return into


def bounds(proof, Phi):
    """Both bounds of every atom, (screened (M,), exact (M,)), minus what is allowed: negative is proved."""
    p = proof.references[0] @ Phi.T  # (R, M)
    estimate = np.abs(proof.weights[0] @ p) + proof.relative[0][:, None] * np.abs(p).max(axis=0)
    screened = (estimate - proof.room[0][:, None]).max(axis=0)
    exact = (np.abs(proof.knots[0] @ Phi.T) - proof.exact_room[0][:, None]).max(axis=0)
    return screened, exact


def problem_of_one(seed=1):
    S, Phi = clustered(seed=seed, B=1)
    params = LCAParams(2.0, 100.0, 100)
    true = lca_float64(S, Phi, 2.0, 100.0, 100)
    return S[0], Phi, params, np.abs(true.potential[0]).max(axis=0)


def test_bounds_are_bounds_and_the_exact_one_is_tight():
    S, Phi, params, peak = problem_of_one()
    W = np.flatnonzero(peak > 2.0)
    screened, exact = bounds(certificate_of(S, Phi, W, params), Phi)
    silent = np.setdiff1d(np.arange(len(Phi)), W)
    assert (screened[silent] >= peak[silent] - 2.0).all()
    assert (exact[silent] >= peak[silent] - 2.0).all()
    assert (exact[silent] - (peak[silent] - 2.0)).max() < 0.1


@pytest.mark.parametrize("missing", [0, 3])
def test_a_trajectory_that_misses_a_firing_neuron_is_refused(missing):
    S, Phi, params, peak = problem_of_one()
    fire = np.flatnonzero(peak > 2.0)
    W = np.delete(fire, missing)
    screened, exact = bounds(certificate_of(S, Phi, W, params), Phi)
    assert screened[fire[missing]] >= 0
    assert exact[fire[missing]] >= 0


def test_a_wrong_trajectory_is_refused():
    S, Phi, params, peak = problem_of_one()
    W = np.flatnonzero(peak > 2.0)
    proof = certificate_of(S, Phi, W, params, means=lambda right: 0.7 * right["means"])
    assert (bounds(proof, Phi)[1][np.setdiff1d(np.arange(len(Phi)), W)] >= 0).any()


def test_a_gap_as_wide_as_the_threshold_proves_nothing():
    S, Phi, params, peak = problem_of_one()
    W = np.flatnonzero(peak > 2.0)
    proof = certificate_of(S, Phi, W, params, gap=lambda right: np.full(len(right["means"]), 2.0))
    screened, exact = bounds(proof, Phi)
    assert (screened >= 0).all()
    assert (exact >= 0).all()


def test_not_a_number_proves_nothing():
    S, Phi, params, _ = problem_of_one()
    Phi = Phi.copy()
    Phi[5] = np.nan
    coded = encode(S[None], Phi, params)
    assert not coded.report.proved.any()


def test_the_gaps_contain_every_step_of_the_path():
    S, Phi, _, peak = problem_of_one()
    W = np.flatnonzero(peak > 2.0)
    b = (Phi[W] @ S).astype(np.float64)
    found = [
        path.simulate(
            Phi[W] @ Phi[W].T, b, np.arange(len(W)), float(np.linalg.norm(S)), 1e-5, 2.0, 100.0, 200, n
        ) for n in (16, 1000)
    ]  # fmt: skip
    coarse, fine = (
        leak[:, None] * S.astype(np.float64) - A @ Phi[W[fired]].astype(np.float64) for *_, fired, A, leak, _ in found
    )
    assert len(coarse) <= 16
    assert len(fine) == 200
    nearest = [min(segment_distance(v, x, y) for x, y in pairwise(coarse)) for v in fine]
    assert max(nearest) <= found[0][-1].max()


def segment_distance(v, x, y):
    share = np.clip((v - x) @ (y - x) / max((y - x) @ (y - x), 1e-300), 0, 1)
    return np.linalg.norm(v - x - share * (y - x))


def test_half_tiles_are_looked_up_whatever_was_in_that_memory_before():
    """Room that is used again holds anything above the diagonal: that was multiplied, and NumPy warned of it."""
    _, Phi = clustered()
    half = [(rows, columns, tile.astype(np.float16)) for rows, columns, tile in tiles(Phi)()]
    atoms.scratch("found", 600**2)[:] = np.float32(3e38)
    looked_up = WorkingSet(np.random.default_rng(0).permutation(600)[:300])
    from_store(looked_up, StoredGramian(lambda: half))
    expected = (Phi @ Phi.T).astype(np.float16)[np.ix_(looked_up.atoms, looked_up.atoms)]
    np.testing.assert_array_equal(looked_up.gram[:, :300], expected.astype(np.float32))
    assert not looked_up.gram[:, 300:].any()
