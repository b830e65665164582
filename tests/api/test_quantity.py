from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.api import quantity
from workshop.api.quantity import parse


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("0", "0"),
        ("0Mi", "0"),
        ("1", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1.500", "1.500"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1025Ki", "1025Ki"),
        ("1.5Gi", "1536Mi"),
        ("0.5Mi", "512Ki"),
        ("0.5Ki", "512"),
        ("100Ki", "100Ki"),
        ("0.1Ki", "102400m"),
        ("1e3", "1e3"),
        ("10e3", "10e3"),
        ("1e4", "10e3"),
        ("1E", "1E"),
        ("1E3", "1E3"),
        ("-1.5", "-1500m"),
        ("+1", "+1"),
        ("0.0000000001", "1n"),
        ("9223372036854775807Ei", "9223372036854775807"),
        ("12e6", "12e6"),
        ("3.0M", "3M"),
    ],
)
def test_canonical(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


@pytest.mark.parametrize("text", ["", "aoeu", "1.1.M", "1+1.0M", ".5i", "1i", "0.1mi", "-3.01e-", "1_0", "1e99999"])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_rounding_is_away_from_zero() -> None:
    assert parse("1m").value() == 1 and parse("-1m").value() == -1
    assert parse("1n").milli_value() == 1 and parse("1100m").value() == 2


def test_resource_lists_are_no_finer_than_a_thousandth() -> None:
    assert str(parse("1.0005").round_up_milli()) == "1001m" and str(parse("5e-10").round_up_milli()) == "1e-3"
    assert str(parse("1.500").round_up_milli()) == "1.500"


def test_a_sum_takes_the_format_of_the_first_that_is_not_zero() -> None:
    assert str(parse("0") + parse("1Gi")) == "1Gi"
    assert str(parse("1Gi") + parse("1G")) == "2073741824"
    assert str(parse("1Gi") - parse("1Gi")) == "0"
    assert str(quantity.of(2**30, quantity.BINARY_SI)) == "1Gi"


suffixes = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "m": Fraction(1, 1000), "u": Fraction(1, 10**6), "Ki": 2**10,
            "Mi": 2**20, "Gi": 2**30, "e3": 1000, "E-2": Fraction(1, 100)}  # fmt: skip
numbers = st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 999), st.sampled_from(sorted(suffixes)))


@given(numbers)
def test_exact_up_to_a_billionth_and_stable_when_printed(number: tuple[int, int, str]) -> None:
    whole, thousandths, suffix = number
    sign = -1 if whole < 0 else 1
    exact = (abs(whole) + Fraction(thousandths, 1000)) * suffixes[suffix] * sign
    found = parse(f"{whole}.{thousandths:03}{suffix}")
    assert 0 <= abs(Fraction(found.nano, 10**9)) - abs(exact) < Fraction(1, 10**9)
    again = parse(str(found))
    assert again == found and str(again) == str(found)


@given(numbers, numbers)
def test_order_is_that_of_the_numbers(a: tuple[int, int, str], b: tuple[int, int, str]) -> None:
    first, second = (parse(f"{n[0]}.{n[1]:03}{n[2]}") for n in (a, b))
    assert (first < second) == (first.nano < second.nano)
    assert first + second == second + first and (first + second) - second == first
