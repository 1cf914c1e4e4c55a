"""The data sets: real digits as they are, and synthetic points with the moments they promise."""

import builtins
import math

import numpy as np
import pytest
import torch

from lvmlib import data


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
