"""The claims of chapter 14, attacked: sums of fractions, rounded to few bits, so that every error is exact."""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from attack import attack, breaks

from lvmlib import WeightSummary, explorers

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
INFINITY = Fraction(2) ** 2000  # stands for an overflow


def exponent_of(value: Fraction) -> int:
    """The power of two at or below the absolute value."""
    value = abs(value)
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if Fraction(2) ** guess <= value else guess - 1


def grid_of(value: Fraction, bits: int) -> Fraction:
    """The distance of neighbouring numbers with so many significant bits, where the value lies."""
    return Fraction(2) ** (exponent_of(value) + 1 - bits)


def nearest(value: Fraction, bits: int) -> Fraction:
    """Rounded to significant bits, ties to even."""
    return value if value == 0 else round(value / grid_of(value, bits)) * grid_of(value, bits)


# Summaries


@dataclass(frozen=True)
class Summary:
    """Of weights that are powers of two, so that nothing is irrational: the logarithms are whole numbers."""

    count: int
    top: float
    total: Fraction | float
    squares: Fraction | float
    largest: tuple[float, ...]


KEPT = 3


@dataclass(frozen=True, eq=False)
class Division:
    """Weights by their logarithms to base 2, the parts that they are divided into, and how sums are rounded."""

    name: str
    logs: tuple[float, ...]
    parts: tuple[tuple[int, ...], ...]
    bits: int | None = None

    def finite_or_zero_weights(self) -> bool:
        return all(log < math.inf for log in self.logs)

    def exact_arithmetic(self) -> bool:
        return self.bits is None

    def parts_do_not_overlap(self) -> bool:
        return sorted(itertools.chain.from_iterable(self.parts)) == list(range(len(self.logs)))

    def rounded(self, value: Fraction | float) -> Fraction | float:
        return value if self.bits is None or isinstance(value, float) else nearest(value, self.bits)

    def shifted(self, log: float, top: float) -> Fraction | float:
        if log == math.inf:
            return math.nan
        return Fraction(0) if log == -math.inf or top == math.inf else Fraction(2) ** int(log - top)

    def summary(self, rows: Sequence[int]) -> Summary:
        logs = [self.logs[row] for row in rows]
        top = max(logs, default=-math.inf)
        total: Fraction | float = Fraction(0)
        squares: Fraction | float = Fraction(0)
        for log in logs:
            total = self.rounded(total + self.shifted(log, top))
            squares = self.rounded(squares + self.shifted(log, top) ** 2)
        return Summary(len(logs), top, total, squares, tuple(sorted(logs, reverse=True)[:KEPT]))

    def merge(self, a: Summary, b: Summary) -> Summary:
        top = max(a.top, b.top)
        left, right = self.shifted(a.top, top), self.shifted(b.top, top)
        return Summary(
            a.count + b.count,
            top,
            self.rounded(left * a.total + right * b.total),
            self.rounded(left**2 * a.squares + right**2 * b.squares),
            tuple(sorted(a.largest + b.largest, reverse=True)[:KEPT]),
        )

    def whole(self) -> Summary:
        return self.summary(range(len(self.logs)))


def drawn_logs(count: int, seed: int) -> tuple[float, ...]:
    generator = random.Random(seed)
    return tuple(float(generator.randint(-900, -700)) for _ in range(count))


DIVISIONS = [
    Division("one part", (-3.0, -1.0, 0.0), ((0, 1, 2),)),
    Division("two parts", (-3.0, -1.0, 0.0), ((0, 1), (2,))),
    Division("parts out of order", drawn_logs(9, 0), ((8, 1), (0, 4, 5), (2,), (3, 6, 7))),
    Division("an empty part", drawn_logs(4, 1), ((0, 1), (), (2, 3))),
    Division("a part of zeros", (-math.inf, -math.inf, 5.0, 2.0), ((0, 1), (2, 3))),
    Division("all zero", (-math.inf,) * 4, ((0,), (1, 2), (3,))),
    Division("equal weights", (-700.0,) * 8, ((0, 1, 2), (3,), (4, 5, 6, 7))),
    Division("the largest in one part", (9.0, 8.0, 7.0, 6.0, -9.0, -9.0), ((0, 1, 2, 3), (4, 5))),
    Division("a maximum that comes last", (-800.0, -700.0, -10.0, 700.0), ((0,), (1,), (2,), (3,))),
]


@attack("thm-monoid", cases=DIVISIONS)
def test_the_summary_of_all_weights_comes_from_parts_in_any_order(case):
    whole = case.whole()
    for order in itertools.permutations(case.parts):
        parts = [case.summary(part) for part in order]
        left = Summary(0, -math.inf, Fraction(0), Fraction(0), ())
        for part in parts:
            left = case.merge(left, part)
        right = Summary(0, -math.inf, Fraction(0), Fraction(0), ())
        for part in reversed(parts):
            right = case.merge(part, right)
        assert left == right == whole
        for a, b in itertools.combinations(parts, 2):
            assert case.merge(a, b) == case.merge(b, a)


@breaks(
    "thm-monoid",
    without="exact-arithmetic",
    case=Division("eight bits", (8.0, 0.0, 0.0), ((0,), (1,), (2,)), bits=8),
    because=r"in bfloat16 a weight of 256 swallows two weights of 1 one by one, and not their sum",
)
def test_in_eight_bits_the_order_of_merging_matters(case):
    large, one, other = (case.summary(part) for part in case.parts)
    assert case.merge(case.merge(large, one), other).total == 1
    assert case.merge(large, case.merge(one, other)).total == 1 + Fraction(1, 128)


@breaks(
    "thm-monoid",
    without="parts-do-not-overlap",
    case=Division("a weight in two parts", (0.0, 3.0, 1.0), ((0, 1), (1, 2))),
    because=r"a weight that two parts share is counted twice",
)
def test_a_weight_in_two_parts_is_counted_twice(case):
    merged = case.merge(*(case.summary(part) for part in case.parts))
    assert merged.count == case.whole().count + 1
    assert merged.total == case.whole().total + 1


@breaks(
    "thm-monoid",
    without="finite-or-zero-weights",
    case=Division("an infinite weight", (0.0, math.inf), ((0,), (1,))),
    because=r"$e^{\ell - m}$ has no value where both are infinite",
)
def test_an_infinite_weight_has_no_summary(case):
    assert math.isnan(case.whole().total)
    with pytest.raises(ValueError, match="finite"):
        WeightSummary.from_log_weights(torch.tensor(case.logs))


@pytest.mark.vouches("thm-monoid")
@pytest.mark.parametrize("kind", ["normal", "some zero", "equal"])
def test_the_summary_of_the_library_does_not_depend_on_parts_and_order(kind):
    generator = torch.Generator().manual_seed(0)
    log_w = -544 + 2 * torch.randn(500, 3, generator=generator, dtype=torch.float64)
    if kind == "some zero":
        log_w[torch.rand(500, 3, generator=generator) < 0.2] = -math.inf
    if kind == "equal":
        log_w = torch.full_like(log_w, -544.0)
    whole = WeightSummary.from_log_weights(log_w)
    for size in (1, 7, 199, 500):
        parts = [WeightSummary.from_log_weights(part) for part in log_w.split(size)]
        for order in (parts, parts[::-1], random.Random(size).sample(parts, len(parts))):
            merged = WeightSummary()
            for part in order:
                merged = merged.merge(part) if size > 1 else part.merge(merged)
            for name in ("log_evidence", "elbo", "ess", "pareto_k"):
                found, expected = getattr(merged, name), getattr(whole, name)
                torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)
            assert merged.num_samples == 500


def test_averages_without_counts_do_not_merge():
    weights = torch.tensor([1.0, 1.0, 1.0, 9.0])
    small, large = weights[:3], weights[3:]
    assert (small.mean() + large.mean()) / 2 == 5
    assert weights.mean() == 3


def test_neither_a_median_nor_the_jackknife_is_a_function_of_the_summary():
    """Two lists with the same count, maximum, sum, sum of squares and largest weight."""
    one, other = (torch.tensor([10.0, *rest]).double() for rest in ((1.0, 5.0, 6.0), (2.0, 3.0, 7.0)))
    assert one.sum() == other.sum()
    assert one.square().sum() == other.square().sum()
    assert one.sort().values[1:3].mean() != other.sort().values[1:3].mean()

    def leave_one_out(weights: torch.Tensor) -> float:
        return float(((weights.sum() - weights) / 3).log().mean())

    assert abs(leave_one_out(one) - leave_one_out(other)) > 1e-5


def test_deviations_keep_the_digits_that_the_sum_of_squares_loses():
    size = 1e-9
    log_w = torch.log1p(size * torch.tensor([1.0, -1.0]).double().repeat(500))
    weights = (log_w - log_w.max()).exp()
    by_squares = 1000 * weights.square().sum() / weights.sum().square() - 1
    by_deviations = WeightSummary.from_log_weights(log_w).relative_variance
    exact = size**2 * 1000 / 999
    assert abs(by_squares - exact) > exact
    # The weights themselves are rounded, to a ten-millionth of their deviations.
    assert abs(by_deviations - exact) < 1e-6 * exact


def test_a_stream_of_a_single_observation_takes_no_more_memory_with_more_draws():
    """Small objects between large ones once let the memory of a stream grow from 26 to 170 MB."""
    runs = json.loads((RESULTS / "million_draws.json").read_text())["runs"]
    taken = [run["megabytes"] for run in runs]
    assert max(taken) < 1.25 * min(taken)


# Rounded sums


@dataclass(frozen=True, eq=False)
class Sum:
    """Numbers to add with so many significant bits."""

    name: str
    numbers: tuple[Fraction, ...]
    bits: int
    largest: Fraction | None = None
    remainders_dropped: bool = False

    @property
    def u(self) -> Fraction:
        return Fraction(1, 2**self.bits)

    @property
    def exact(self) -> Fraction:
        return sum(self.numbers, Fraction(0))

    def growth(self, count: int) -> Fraction:
        return (1 + self.u) ** count - 1

    def add(self, a: Fraction, b: Fraction) -> Fraction:
        found = nearest(a + b, self.bits)
        return INFINITY if self.largest is not None and found > self.largest else found

    def running(self, numbers: Sequence[Fraction], add: Callable[[Fraction, Fraction], Fraction]) -> list[Fraction]:
        return list(itertools.accumulate(numbers, add))

    def pairwise(self, add: Callable[[Fraction, Fraction], Fraction]) -> Fraction:
        row = list(self.numbers)
        while len(row) > 1:
            pairs = [add(a, b) for a, b in zip(row[::2], row[1::2], strict=False)]
            row = pairs + row[len(row) - len(row) % 2 :]
        return row[0]

    def lost(self) -> list[Fraction]:
        if self.remainders_dropped:
            return [Fraction(0)] * len(self.numbers)
        sums = self.running(self.numbers, self.add)
        return [before + x - after for before, x, after in zip([Fraction(0), *sums], self.numbers, sums, strict=False)]

    def compensated(self, add: Callable[[Fraction, Fraction], Fraction]) -> Fraction:
        return add(self.running(self.numbers, add)[-1], self.running(self.lost(), add)[-1])

    def non_negative_numbers(self) -> bool:
        return all(x >= 0 and nearest(x, self.bits) == x for x in self.numbers) and self.exact > 0

    def rounds_within_u(self) -> bool:
        seen: list[bool] = []

        def watched(a: Fraction, b: Fraction) -> Fraction:
            found = self.add(a, b)
            seen.append(abs(found - a - b) <= self.u * abs(a + b))
            return found

        self.running(self.numbers, watched)
        self.pairwise(watched)
        self.compensated(watched)
        return all(seen)

    def exact_remainders(self) -> bool:
        sums = self.running(self.numbers, self.add)
        return sums[-1] >= INFINITY or sums[-1] + sum(self.lost()) == self.exact


def drawn(count: int, bits: int, seed: int, power: float = 1.0) -> tuple[Fraction, ...]:
    generator = random.Random(seed)
    return tuple(nearest(Fraction(generator.expovariate(1.0) ** power), bits) for _ in range(count))


def ones(count: int) -> tuple[Fraction, ...]:
    return (Fraction(1),) * count


SWALLOWED = (Fraction(128), *(Fraction(31, 64),) * 12)
SUMS = [
    Sum("two numbers", (Fraction(1), Fraction(3, 8)), 8),
    Sum("ones past 256", ones(700), 8),
    Sum("swallowed", SWALLOWED, 8),
    Sum("exponential, 8 bits", drawn(300, 8, 0), 8),
    Sum("exponential, 11 bits", drawn(600, 11, 1), 11),
    Sum("exponential, 24 bits", drawn(600, 24, 2), 24),
    Sum("heavy tail, 8 bits", drawn(200, 8, 3, power=4.0), 8),
    Sum("powers of two", tuple(Fraction(2) ** k for k in range(40)), 8),
    Sum("falling", tuple(Fraction(2) ** -k for k in range(40)), 8),
    Sum("zeros among them", (Fraction(0), *drawn(50, 8, 4), Fraction(0)), 8),
    Sum("five bits", drawn(100, 5, 5), 5),
]


@attack("thm-rounding", cases=SUMS)
def test_three_sums_are_within_their_bounds(case):
    count, exact = len(case.numbers), case.exact
    once = case.growth(count - 1)
    assert abs(case.running(case.numbers, case.add)[-1] - exact) <= once * exact
    assert abs(case.pairwise(case.add) - exact) <= case.growth((count - 1).bit_length()) * exact
    assert abs(case.compensated(case.add) - exact) <= (case.u + (1 + case.u) * once**2) * exact


@pytest.mark.vouches("thm-rounding")
def test_the_bound_for_adding_one_at_a_time_is_nearly_attained():
    case = Sum("swallowed", SWALLOWED, 8)
    error = abs(case.running(case.numbers, case.add)[-1] - case.exact) / case.exact
    assert error > 0.9 * case.growth(len(case.numbers) - 1) * Fraction(31, 32) * Fraction(128, 134)


@breaks(
    "thm-rounding",
    without="non-negative-numbers",
    case=Sum("both signs", (Fraction(1), Fraction(1, 512), Fraction(-1)), 8),
    because=r"$1 + \tfrac12 u - 1$ is computed as zero, an error of one hundred per cent",
)
def test_numbers_of_both_signs_have_no_relative_bound(case):
    assert case.running(case.numbers, case.add)[-1] == 0 < case.exact
    assert case.growth(2) < 1


@breaks(
    "thm-rounding",
    without="rounds-within-u",
    case=Sum("float16 overflows", (Fraction(60_000), Fraction(60_000)), 11, largest=Fraction(65_504)),
    because=r"the sum of two float16 numbers of 60,000 is infinite",
)
def test_an_overflow_is_no_rounding_error(case):
    assert case.pairwise(case.add) == INFINITY
    assert torch.isinf(torch.tensor(60_000.0).half() + torch.tensor(60_000.0).half())


@breaks(
    "thm-rounding",
    without="exact-remainders",
    case=Sum("remainders simplified away", SWALLOWED, 8, remainders_dropped=True),
    because=r"a compiler that simplifies the lost part to zero leaves the plain sum",
)
def test_without_its_remainders_a_compensated_sum_is_the_plain_one(case):
    once = case.growth(len(case.numbers) - 1)
    error = abs(case.compensated(case.add) - case.exact) / case.exact
    assert error > 5 * (case.u + (1 + case.u) * once**2)
    kept = Sum("kept", case.numbers, case.bits)
    assert abs(kept.compensated(kept.add) - kept.exact) / kept.exact <= kept.u


def test_the_lost_part_of_an_addition_is_a_number_of_the_format():
    """And Knuth's six operations compute it."""
    generator = random.Random(0)
    for _ in range(2000):
        bits = generator.choice((5, 8, 11))
        a, b = (
            nearest(Fraction(generator.uniform(-1, 1)) * Fraction(2) ** generator.randint(-9, 9), bits)
            for _ in range(2)
        )
        total = nearest(a + b, bits)
        lost = a + b - total
        assert nearest(lost, bits) == lost
        added = nearest(total - a, bits)
        first = nearest(a - nearest(total - added, bits), bits)
        second = nearest(b - added, bits)
        assert nearest(first + second, bits) == lost


def test_rounding_by_fractions_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    for dtype, bits in ((torch.bfloat16, 8), (torch.float16, 11), (torch.float32, 24)):
        a, b = (torch.empty(200).exponential_(generator=generator).to(dtype) for _ in range(2))
        for x, y, total in zip(a.tolist(), b.tolist(), (a + b).tolist(), strict=True):
            assert nearest(Fraction(x) + Fraction(y), bits) == Fraction(total)


def test_a_running_sum_in_bfloat16_loses_three_nats():
    generator = torch.Generator().manual_seed(3)
    weights = torch.empty(2**16, 16).exponential_(generator=generator).bfloat16()
    total = torch.zeros(16, dtype=torch.bfloat16)
    for row in weights:
        total = total + row
    assert ((total.double() / weights.double().sum(0)).log() < -3).all()


# A random walk of rounding errors


@dataclass(frozen=True, eq=False)
class Walk:
    """Numbers added one at a time with roundings at random; the law of the sum is known, as there are few."""

    name: str
    numbers: tuple[Fraction, ...]
    bits: int
    rounding: str = "stochastic"

    @property
    def u(self) -> Fraction:
        return Fraction(1, 2**self.bits) if self.rounding == "nearest" else Fraction(2, 2**self.bits)

    @property
    def exact(self) -> Fraction:
        return sum(self.numbers, Fraction(0))

    def rounded(self, value: Fraction) -> list[tuple[Fraction, Fraction]]:
        """The values that rounding may give, and their probabilities."""
        bits = self.bits - 2 if self.rounding == "coarse" else self.bits
        if self.rounding == "nearest":
            return [(nearest(value, bits), Fraction(1))]
        if value == 0:
            return [(value, Fraction(1))]
        grid = grid_of(value, bits)
        low = (value / grid).__floor__() * grid
        up = (value - low) / grid
        return [(low, 1 - up), (low + grid, up)] if up else [(low, Fraction(1))]

    def laws(self) -> list[dict[Fraction, Fraction]]:
        """The law of the running sum after each addition."""
        laws = [{self.numbers[0]: Fraction(1)}]
        for x in self.numbers[1:]:
            law: dict[Fraction, Fraction] = {}
            for before, chance in laws[-1].items():
                for value, share in self.rounded(before + x):
                    law[value] = law.get(value, Fraction(0)) + chance * share
            laws.append(law)
        return laws

    def additions(self) -> list[tuple[Fraction, list[tuple[Fraction, Fraction]]]]:
        return [
            (before + x, self.rounded(before + x))
            for law, x in zip(self.laws(), self.numbers[1:], strict=False)
            for before in law
        ]

    def non_negative_numbers(self) -> bool:
        return all(x >= 0 for x in self.numbers) and self.exact > 0

    def rounds_within_u(self) -> bool:
        return all(abs(value - exact) <= self.u * abs(exact) for exact, found in self.additions() for value, _ in found)

    def mean_zero_rounding(self) -> bool:
        return all(sum(value * chance for value, chance in found) == exact for exact, found in self.additions())

    def moments(self) -> tuple[Fraction, Fraction]:
        law = self.laws()[-1]
        mean = sum((value * chance for value, chance in law.items()), Fraction(0))
        square = sum(((value - self.exact) ** 2 * chance for value, chance in law.items()), Fraction(0))
        return mean, square

    def allowed(self) -> Fraction:
        return self.exact**2 * ((1 + self.u**2) ** (len(self.numbers) - 1) - 1)


WALKS = [
    Walk("ones", ones(60), 4),
    Walk("ones, eight bits", ones(400), 8),
    Walk("exponential", drawn(40, 4, 0), 4),
    Walk("falling", (Fraction(16), *(Fraction(1, 2),) * 30), 5),
    Walk("two numbers", (Fraction(16), Fraction(1)), 4),
    Walk("all exact, to nearest", ones(16), 4, rounding="nearest"),
]


@attack("prop-random-rounding", cases=WALKS)
def test_with_roundings_of_mean_zero_the_sum_is_right_on_average_and_the_error_a_random_walk(case):
    mean, square = case.moments()
    assert mean == case.exact
    assert square <= case.allowed()


@breaks(
    "prop-random-rounding",
    without="mean-zero-rounding",
    case=Walk("ones, to nearest", ones(60), 4, rounding="nearest"),
    because=r"rounding to nearest stops a sum of ones at $1/u$, and the error grows like $K$",
)
def test_rounding_to_nearest_drifts(case):
    mean, square = case.moments()
    assert mean == 16
    assert square > case.allowed()


@breaks(
    "prop-random-rounding",
    without="non-negative-numbers",
    case=Walk("both signs", (Fraction(16), Fraction(1), Fraction(-16)), 4),
    because=r"a running sum that was large leaves its errors to a sum that is small",
)
def test_a_large_number_that_is_taken_away_leaves_its_error(case):
    mean, square = case.moments()
    assert mean == case.exact
    assert square > case.allowed()


@breaks(
    "prop-random-rounding",
    without="rounds-within-u",
    case=Walk("two bits fewer", (Fraction(16), Fraction(1)), 4, rounding="coarse"),
    because=r"a coarser format has the same mean and larger errors",
)
def test_a_coarser_format_has_larger_errors(case):
    mean, square = case.moments()
    assert mean == case.exact
    assert square > case.allowed()


def test_weights_that_follow_an_exponential_law_are_rounded_down_on_average():
    """On a grid of width h the mean 1 becomes h / (2 sinh(h / 2)), about 1 - h²/24."""
    for h in (1 / 16, 1 / 4):
        cells = torch.arange(1, int(60 / h)).double()
        mean = (h * cells * torch.exp(-h * cells)).sum() * 2 * math.sinh(h / 2)
        assert mean == pytest.approx(h / (2 * math.sinh(h / 2)), rel=1e-6)
        assert mean == pytest.approx(1 - h**2 / 24, rel=h**4 / 100)


def test_equal_weights_are_rounded_in_one_direction_until_the_gap_changes():
    total, count = torch.zeros((), dtype=torch.float32), 10_000
    for _ in range(count):
        total = total + 0.1
    assert total.item() == pytest.approx(999.903, abs=5e-4)
    random_walk = math.sqrt(count) * 2.0**-24
    assert abs(total.item() / 1000 - 1) == pytest.approx(16 * random_walk, rel=0.05)


# Several processes


@dataclass(frozen=True, eq=False)
class Task:
    """A task on one process and on several.

    Attributes:
        name: What the test is called.
        serial: a, the time of what is not shared.
        shared: b, the time of the rest, on one process.
        processes: P.
        work: How many times the shared work is done on several processes.
        serial_there: The time of the first part on several processes, over a.
        share: The time of a share, over b / P.
    """

    name: str
    serial: float
    shared: float
    processes: int
    work: int = 1
    serial_there: float = 1.0
    share: float = 1.0

    def fixed_work(self) -> bool:
        return self.work == 1

    def serial_part_remains(self) -> bool:
        return self.serial * self.serial_there >= self.serial

    def no_faster_share(self) -> bool:
        return self.share >= 1

    @property
    def fraction(self) -> float:
        return self.serial / (self.serial + self.shared)

    @property
    def bound(self) -> float:
        return 1 / (self.fraction + (1 - self.fraction) / self.processes)

    @property
    def speed_up(self) -> float:
        """The time that one process takes for the work of all, over the time that they take."""
        alone = self.serial + self.work * self.shared
        return alone / (self.serial * self.serial_there + self.work * self.shared / self.processes * self.share)


TASKS = [
    Task("five per cent", 0.05, 0.95, 1000),
    Task("nothing serial", 0.0, 2.0, 8),
    Task("all serial", 3.0, 0.0, 8),
    Task("one process", 1.0, 1.0, 1),
    Task("hindrance", 0.1, 1.0, 2, share=1.3),
    Task("a longer start", 0.1, 1.0, 4, serial_there=3.0),
]


@attack("prop-amdahl", cases=TASKS)
def test_the_speed_up_is_at_most_that_of_amdahl(case):
    assert case.speed_up <= case.bound * (1 + 1e-12)
    if case.fraction > 0:
        assert case.bound <= 1 / case.fraction + 1e-12
    if case.share == case.serial_there == 1:
        assert case.speed_up == pytest.approx(case.bound)


@breaks(
    "prop-amdahl",
    without="fixed-work",
    case=Task("work that grows", 0.1, 0.9, 16, work=16),
    because=r"sixteen processes with sixteen times the work do $f + (1 - f) \cdot 16$ times as much in the same time",
)
def test_work_that_grows_is_sped_up_more(case):
    assert case.speed_up == pytest.approx(case.fraction + (1 - case.fraction) * 16)
    assert case.speed_up > case.bound


@breaks(
    "prop-amdahl",
    without="serial-part-remains",
    case=Task("a serial part that is divided after all", 0.2, 0.8, 4, serial_there=0.25),
    because=r"a part that was only written serially is no part of $a$",
)
def test_a_serial_part_that_is_divided_is_none(case):
    assert case.speed_up == pytest.approx(4)
    assert case.speed_up > case.bound


@breaks(
    "prop-amdahl",
    without="no-faster-share",
    case=Task("a share that fits into the cache", 0.1, 0.9, 2, share=0.5),
    because=r"a share that fits into a cache takes less than its part of the time",
)
def test_a_share_in_the_cache_beats_amdahl(case):
    assert case.speed_up > case.bound


def test_the_predictions_of_the_benchmark_are_those_of_the_law():
    scaling = json.loads((RESULTS / "scaling.json").read_text())
    for row in scaling["scaling"].values():
        task = Task("measured", row["serial fraction"], 1 - row["serial fraction"], 2)
        assert row["speed-up by Amdahl"] == pytest.approx(task.bound, abs=2e-3)


# Numbers that the chapter states


def test_a_million_draws_of_independent_causes_are_half_a_nat_low():
    long = json.loads((RESULTS / "million_draws.json").read_text())["laboratory"]
    misses = long["estimate less exact"]
    mean, error = statistics.fmean(misses), statistics.stdev(misses) / math.sqrt(len(misses))
    assert len(misses) == 169
    assert mean + 5 * error < -0.3
    assert abs(mean + 0.5) < 5 * error


def test_the_standard_errors_of_five_seeds_differ_by_a_factor_of_three():
    runs = json.loads((RESULTS / "million_draws.json").read_text())["runs"]
    errors = [run["std_error"] for run in runs if run["draws"] == 10**6]
    assert len(errors) == 5
    assert 2.5 < max(errors) / min(errors) < 3.5


def test_what_is_no_product_takes_longer_with_faster_products():
    found = json.loads((RESULTS / "gpu.json").read_text())["sections"]["iwae"]["found"]
    ours = {name: found[name]["lvmlib VAE"] for name in ("float32", "tf32", "bfloat16")}
    rest = {name: row["seconds"] * (1 - row["share"]) for name, row in ours.items()}
    assert (round(rest["float32"], 1), round(rest["bfloat16"], 1)) == (0.8, 1.1)
    assert min(ours, key=lambda name: ours[name]["seconds"]) == "tf32"


@pytest.mark.parametrize(("bits", "weight", "count"), [(8, 1.0, 1000), (11, 0.5, 9000), (5, 1.875, 300)])
def test_the_explorer_adds_as_the_format_does(bits, weight, count):
    total = Fraction(0)
    for _ in range(count):
        total = nearest(total + Fraction(weight), bits)
    vl_convert = pytest.importorskip("vl_convert")
    spec = explorers.stagnating_sum().spec
    given = {"bits": bits, "weight": weight, "power": math.log10(count), "reveal": "shown"}
    for param in spec["params"]:
        if param["name"] in given:
            param["value"] = given[param["name"]]
    svg = vl_convert.vegalite_to_svg(spec)
    found = svg.split("error of its logarithm ")[1].split(" nats")[0].replace("\N{MINUS SIGN}", "-")
    assert float(found) == pytest.approx(math.log(float(total) / (count * weight)), abs=0.004)
