"""The classical baseline."""

import numpy as np

from iphasenet.evaluation.idpc import ScaleFit, idpc, integrate


def bumps(second: float = -6.0, pixels: int = 64, sampling: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Function and gradient (x, y) of two Gaussians; the second may be cut by the field's left edge."""
    position = (np.arange(pixels) - pixels / 2) * sampling
    x, y = np.meshgrid(position, position)
    total, slope_x, slope_y = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for cx, cy, width in [(1.0, -2.0, 1.5), (second, 2.0, 1.0)]:
        bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
        total += bump
        slope_x -= bump * (x - cx) / width**2
        slope_y -= bump * (y - cy) / width**2
    return total, slope_x, slope_y


def test_integrates_a_gradient_on_a_field_that_is_not_periodic() -> None:
    total, slope_x, slope_y = bumps()
    image = integrate(slope_x, slope_y, 0.2)
    np.testing.assert_allclose(image, total - total.mean(), atol=5e-3)
    assert abs(image.mean()) < 1e-12


def test_an_atom_is_bright_and_a_ramp_is_removed() -> None:
    """Segments of a probe that is drawn towards a bump, on top of a constant deflection."""
    total, slope_x, slope_y = bumps(second=-2.0)
    segments = np.stack([0.1 + 0.01 * (sx * (slope_x + 3) + sy * slope_y) for sy in (-1, 1) for sx in (-1, 1)])
    image = idpc(segments, 0.2)
    assert np.corrcoef(image.ravel(), total.ravel())[0, 1] > 0.99


def test_stacks_are_treated_image_by_image() -> None:
    rng = np.random.default_rng(0)
    segments = rng.random((3, 4, 16, 16))
    np.testing.assert_allclose(idpc(segments, 0.2)[1], idpc(segments[1], 0.2))


def test_scale_is_recovered() -> None:
    rng = np.random.default_rng(0)
    fit = ScaleFit()
    for thickness in (200.0, 400.0, 600.0):
        image = rng.normal(size=(8, 8))
        fit.add(image, thickness, 37.0 * image + 12.5 * thickness)
    np.testing.assert_allclose(fit.solve(), (37.0, 12.5))
