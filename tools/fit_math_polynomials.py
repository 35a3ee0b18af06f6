"""Fits the polynomials of the CPU target's vector math library, by the Remez exchange.

    python tools/fit_math_polynomials.py   # rewrites math_functions/coefficients.py

Each polynomial P of a given degree minimises max |weight(x) * (P(x) - target(x))| over an interval,
in 40-digit arithmetic (mpmath). The weight turns the error of P into the relative error of the
function it serves, so the figure beside each row is comparable with 2**-24 (f32) and 2**-53 (f64).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

mp.dps = 40
Function = Callable[[Any], Any]
OUTPUT = Path(__file__).parents[1] / "src/canopy/targets/cpu/math_functions/coefficients.py"


@dataclass(frozen=True)
class Fit:
    """One polynomial: what it approximates, where, and how an error counts."""

    name: str
    note: str
    target: Function
    weight: Function
    low: Any
    high: Any
    degree: int


def solve_levelled(fit: Fit, nodes: list[Any]) -> list[Any]:
    """Coefficients (lowest first) whose weighted errors at the nodes alternate with one size."""
    rows = len(nodes)
    matrix, right = mp.matrix(rows, rows), mp.matrix(rows, 1)
    for i, x in enumerate(nodes):
        for power in range(rows - 1):
            matrix[i, power] = x**power
        matrix[i, rows - 1] = (-1) ** i / fit.weight(x)
        right[i] = fit.target(x)
    return list(mp.lu_solve(matrix, right))[:-1]


def extremes(fit: Fit, grid: list[Any], exact: list[Any], coefficients: list[Any]) -> list[Any]:
    """The points of largest error in each run of equal sign, as (point, error)."""
    best: list[Any] = []
    for x, (value, weight) in zip(grid, exact, strict=True):
        error = weight * (mp.polyval(coefficients[::-1], x) - value)
        if best and (error > 0) == (best[-1][1] > 0):
            if abs(error) > abs(best[-1][1]):
                best[-1] = (x, error)
        else:
            best.append((x, error))
    return best


def remez(fit: Fit) -> tuple[list[Any], Any]:
    """The minimax coefficients and the largest weighted error."""
    count = fit.degree + 2
    middle, half = (fit.high + fit.low) / mpf(2), (fit.high - fit.low) / mpf(2)
    points = 40 * count
    grid = [middle - half * mp.cos(mp.pi * (i + mpf(1) / 3) / points) for i in range(points)]
    exact = [(fit.target(x), fit.weight(x)) for x in grid]
    nodes = [middle - half * mp.cos(mp.pi * (i + mpf(1) / 2) / count) for i in range(count)]
    for _ in range(12):
        coefficients = solve_levelled(fit, nodes)
        found = extremes(fit, grid, exact, coefficients)
        worst = max(abs(error) for _, error in found)
        while len(found) > count:
            found.pop(0 if abs(found[0][1]) < abs(found[-1][1]) else -1)
        if len(found) < count:
            break
        nodes = [x for x, _ in found]
        if worst < 1.02 * min(abs(error) for _, error in found):
            break
    return coefficients, worst


def series_safe(function: Function, at_zero: Function) -> Function:
    """``function`` with the removable singularity at zero filled in by ``at_zero``."""
    return lambda x: at_zero(x) if abs(x) < mpf("1e-12") else function(x)


def scaled_erfc(q: Any) -> Any:
    """(1 + 2t) exp(t^2) erfc(t) with t = K (1 + q) / (1 - q), K = 3.75."""
    if q > mpf(1) - mpf("1e-9"):
        return 2 / mp.sqrt(mp.pi)
    t = mpf("3.75") * (1 + q) / (1 - q)
    if t > 50:
        inverse = 1 / (2 * t * t)
        total = term = mpf(1)
        for k in range(1, 15):
            term *= -(2 * k - 1) * inverse
            total += term
        return (1 + 2 * t) * total / (t * mp.sqrt(mp.pi))
    return (1 + 2 * t) * mp.exp(t * t) * mp.erfc(t)


def inverse_erfc(y: Any) -> Any:
    """t with erfc(t) = y, for 0 < y <= 1, by Newton steps on log erfc."""
    t = mp.sqrt(-mp.log(y)) * mpf("0.9")
    for _ in range(60):
        value = mp.erfc(t)
        step = mp.log(value / y) * value * mp.sqrt(mp.pi) / (2 * mp.exp(-t * t))
        t += step
        if abs(step) < mpf("1e-30"):
            break
    return t


def inverse_erf_ratio(z: Any) -> Any:
    x = mp.sqrt(z)
    return mp.sqrt(mp.pi) / 2 if x < mpf("1e-10") else mp.erfinv(x) / x


def inverse_erfc_ratio(v: Any) -> Any:
    """erfcinv(exp(-s^2)) / s as a function of v = 1 / s."""
    s = 1 / v
    return inverse_erfc(mp.exp(-s * s)) / s


def fits() -> list[Fit]:
    half_ln2 = mp.log(2) / 2 * mpf("1.0001")
    quarter_pi = mp.pi / 4 * mpf("1.0001")
    log_low, log_high = mp.sqrt(mpf("0.5")) - 1, mp.sqrt(2) - 1
    exp_tail = series_safe(lambda r: (mp.expm1(r) - r) / r**2, lambda r: mpf("0.5") + r / 6)
    log_tail = series_safe(
        lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, lambda f: mpf(1) / 3 - f / 4
    )
    root = mp.sqrt

    def power_tail(base: int) -> Function:
        scale = mp.log(base)
        return series_safe(lambda r: mp.expm1(r * scale) / r, lambda r: scale + r * scale**2 / 2)

    def of_square(function: Function, limit: Any) -> Function:
        return lambda z: limit if z < mpf("1e-16") else function(root(z))

    sin_tail = of_square(lambda r: (mp.sin(r) - r) / r**3, mpf(-1) / 6)
    cos_tail = of_square(lambda r: (mp.cos(r) - 1 + r * r / 2) / r**4, mpf(1) / 24)
    sinpi_tail = of_square(lambda r: (mp.sin(mp.pi * r) - mp.pi * r) / r**3, -(mp.pi**3) / 6)
    cospi_tail = of_square(lambda r: (mp.cos(mp.pi * r) - 1) / r**2, -(mp.pi**2) / 2)
    atanh_tail = of_square(lambda s: (2 * mp.atanh(s) - 2 * s) / s**3, mpf(2) / 3)
    tanh_tail = of_square(lambda x: (mp.tanh(x) - x) / x**3, mpf(-1) / 3)
    erf_tail = of_square(lambda x: mp.erf(x) / x - 1, 2 / root(mp.pi) - 1)
    atan_tail = of_square(lambda t: (mp.atan(t) - t) / t**3, mpf(-1) / 3)
    z_exp = lambda r: r * r / mp.exp(r)  # noqa: E731
    rows: list[Fit] = []

    def add(name: str, note: str, target: Function, weight: Function, *rest: Any) -> None:
        rows.append(Fit(name, note, target, weight, *rest))

    def cubed_over(function: Function) -> Function:
        return of_square(lambda x: x**3 / function(x), mpf(0) + mpf("1e-30"))

    for bits, degree in ((32, 4), (64, 9)):
        add(
            f"EXP_F{bits}",
            "(exp(r) - 1 - r) / r^2",
            exp_tail,
            series_safe(z_exp, lambda r: mpf("1e-24")),
            -half_ln2,
            half_ln2,
            degree,
        )
    for bits, degree in ((32, 5), (64, 11)):
        add(
            f"EXP2_F{bits}",
            "(2^r - 1) / r",
            power_tail(2),
            lambda r: (abs(r) + mpf("1e-20")) / mpf(2) ** r,
            mpf("-0.5001"),
            mpf("0.5001"),
            degree,
        )
        bound = mp.log10(2) / 2 * mpf("1.0001")
        add(
            f"EXP10_F{bits}",
            "(10^r - 1) / r",
            power_tail(10),
            lambda r: (abs(r) + mpf("1e-20")) / mpf(10) ** r,
            -bound,
            bound,
            degree,
        )
    add(
        "LOG_F32",
        "(log(1 + f) - f + f^2/2) / f^3",
        log_tail,
        series_safe(lambda f: f**3 / mp.log1p(f), lambda f: mpf("1e-24")),
        log_low,
        log_high,
        7,
    )
    s_high = ((log_high) / (2 + log_high)) ** 2 * mpf("1.001")
    add(
        "LOG_F64",
        "(2 atanh(s) - 2s) / s^3 in z = s^2",
        atanh_tail,
        cubed_over(mp.atanh),
        mpf(0),
        s_high,
        6,
    )
    for bits, degree in ((32, 2), (64, 6)):
        add(
            f"SIN_F{bits}",
            "(sin(r) - r) / r^3 in z = r^2",
            sin_tail,
            cubed_over(mp.sin),
            mpf(0),
            quarter_pi**2,
            degree,
        )
        add(
            f"COS_F{bits}",
            "(cos(r) - 1 + r^2/2) / r^4 in z = r^2",
            cos_tail,
            lambda z: z * z / mp.cos(root(z)) + mpf("1e-30"),
            mpf(0),
            quarter_pi**2,
            degree,
        )
        add(
            f"SINPI_F{bits}",
            "(sin(pi r) - pi r) / r^3 in z = r^2",
            sinpi_tail,
            cubed_over(lambda r: mp.sin(mp.pi * r)),
            mpf(0),
            mpf("0.0626"),
            degree,
        )
        add(
            f"COSPI_F{bits}",
            "(cos(pi r) - 1) / r^2 in z = r^2",
            cospi_tail,
            lambda z: z / mp.cos(mp.pi * root(z)) + mpf("1e-30"),
            mpf(0),
            mpf("0.0626"),
            degree + 1,
        )
    add(
        "TANH_F32",
        "(tanh(x) - x) / x^3 in z = x^2",
        tanh_tail,
        cubed_over(mp.tanh),
        mpf(0),
        mpf("0.625") ** 2,
        4,
    )
    add(
        "ERF_SMALL_F32",
        "erf(x) / x - 1 in z = x^2",
        erf_tail,
        of_square(lambda x: x / mp.erf(x), mpf("0.886")),
        mpf(0),
        mpf(1),
        6,
    )
    add(
        "ERF_LARGE_F32",
        "-log(erfc(x))",
        lambda x: -mp.log(mp.erfc(x)),
        mp.erfc,
        mpf(1),
        mpf("4.0"),
        6,
    )
    add(
        "ATAN_F64",
        "(atan(t) - t) / t^3 in z = t^2",
        atan_tail,
        cubed_over(mp.atan),
        mpf(0),
        mpf(1),
        12,
    )
    add(
        "ERFCX_F64",
        "(1 + 2t) erfcx(t) in q = (t - 3.75) / (t + 3.75)",
        scaled_erfc,
        lambda q: 1 / scaled_erfc(q),
        mpf(-1),
        mpf(1),
        22,
    )
    add(
        "ERFINV_SMALL_F64",
        "erfinv(x) / x in z = x^2",
        inverse_erf_ratio,
        lambda z: 1 / inverse_erf_ratio(z),
        mpf(0),
        mpf("0.2501"),
        13,
    )
    for name, note, low, high, degree in (
        ("TAIL", "the f32 range", "0.0965", "1.21", 16),
        ("FAR", "smaller y", "0.0366", "0.0966", 8),
    ):
        add(
            f"ERFCINV_{name}_F64",
            f"erfcinv(y) / s in v = 1/s, s = sqrt(-log(y)), {note}",
            inverse_erfc_ratio,
            lambda v: 1 / inverse_erfc_ratio(v),
            mpf(low),
            mpf(high),
            degree,
        )
    return rows


HEADER = '''"""Minimax polynomials, lowest power first; written by tools/fit_math_polynomials.py.

The figure beside each is the largest relative error it puts on the function that it serves,
before rounding.
"""

from __future__ import annotations

'''


def main() -> None:
    text = [HEADER]
    for fit in fits():
        coefficients, worst = remez(fit)
        print(f"{fit.name:18} degree {fit.degree:2}  error {mp.nstr(worst, 3)}", flush=True)
        text.append(f"# {fit.note}; error {mp.nstr(worst, 3)}\n")
        text.append(f"{fit.name} = (\n")
        text.extend(f"    {float(c)!r},\n" for c in coefficients)
        text.append(")\n")
    OUTPUT.write_text("".join(text))


if __name__ == "__main__":
    main()
