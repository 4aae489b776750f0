#include "cm/diffusion/editing.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr int64_t kColours = kLuma.size();
constexpr double kSmallestArc = 1e-6;  // sin θ below this: no arc to walk on

// [B, C, H, W] → [B, C, H/p, W/p, p²] and back.
Tensor split_into_patches(const Tensor& x, int64_t side) {
  const Tensor tiles = x.unflatten(3, {-1, side}).unflatten(2, {-1, side});  // [B, C, H/p, p, W/p, p]
  return tiles.transpose(3, 4).flatten(4);
}

Tensor join_patches(const Tensor& patches, int64_t side) {
  return patches.unflatten(4, {side, side}).transpose(3, 4).flatten(4).flatten(2, 3);
}

Tensor constant_direction(int64_t side) {
  return torch::full({side * side}, 1.0 / static_cast<double>(side), torch::kFloat64);
}

// 1 − Ω where the first of `count` coefficients is known.
Tensor first_of(int64_t count, const Tensor& like) {
  return torch::arange(count, torch::TensorOptions().device(like.device())) == 0;
}

}  // namespace

Tensor reflect(const Tensor& x, const Tensor& direction) {
  // H = I − 2 w wᵀ with the unit vector w along direction − e₁; the identity where the two are the same.
  Tensor w = direction.to(torch::kFloat64).clone();
  w[0] -= 1;
  const auto norm = w.norm().item<double>();
  if (norm == 0) return x;
  const Tensor unit = (w / norm).to(x.options());
  return x - 2 * (x * unit).sum(-1, /*keepdim=*/true) * unit;
}

OrthogonalMap identity_map() {
  const auto same = [](const Tensor& x) { return x; };
  return {same, same};
}

OrthogonalMap patch_map(int64_t side) {
  const Tensor direction = constant_direction(side);
  return {[=](const Tensor& x) { return reflect(split_into_patches(x, side), direction); },
          [=](const Tensor& a) { return join_patches(reflect(a, direction), side); }};
}

OrthogonalMap luma_map(const std::array<double, 3>& weights) {
  const Tensor luma = torch::tensor({weights[0], weights[1], weights[2]}, torch::kFloat64);
  const Tensor direction = luma / luma.norm();
  return {[=](const Tensor& x) { return reflect(x.movedim(1, 3), direction); },
          [=](const Tensor& a) { return reflect(a, direction).movedim(3, 1); }};
}

Constraint known_pixels(const Tensor& y, const Tensor& known) {
  TORCH_CHECK(known.scalar_type() == torch::kBool, "known pixels are given by a mask of booleans, got ",
              known.dtype());
  return {identity_map(), known, y};
}

Constraint known_patch_means(const Tensor& y, int64_t side) {
  if (side < 1 || y.size(2) % side != 0 || y.size(3) % side != 0) {
    throw InputError(concat("the factor of super-resolution must divide the image's sides, got ", side,
                            " for ", y.size(3), " × ", y.size(2)));
  }
  return {patch_map(side), first_of(side * side, y), y};
}

Constraint known_luma(const Tensor& y, const std::array<double, 3>& weights) {
  if (y.size(1) != kColours) {
    throw InputError(concat("colorization needs images of 3 channels, got ", y.size(1)));
  }
  return {luma_map(weights), first_of(kColours, y), y};
}

Tensor project(const Constraint& constraint, const Tensor& x) {
  const auto& [map, known, y] = constraint;
  return map.invert(torch::where(known, map.apply(y.to(x.scalar_type())), map.apply(x)));
}

Tensor known_part(const Constraint& constraint) {
  return project(constraint, torch::zeros_like(constraint.reference));
}

Tensor grey_level(const Tensor& y) {
  const auto luma = [](const Tensor& x) { return luma_map().apply(x).select(-1, 0); };
  return (luma(y) / luma(torch::ones_like(y))).unsqueeze(1);
}

Tensor edit_multistep(const Denoiser& consistency, const Constraint& constraint, const Tensor& start,
                      const std::vector<double>& times, double sigma_min, const NoiseSource& noise) {
  const Denoiser projected = [&](const Tensor& x, const Tensor& sigma) {
    return project(constraint, consistency(x, sigma));
  };
  return sample_multistep(projected, start, times, sigma_min, noise);
}

Tensor spherical_interpolation(const Tensor& a, const Tensor& b, const std::vector<double>& fractions) {
  const Tensor from = a.to(torch::kFloat64);
  const Tensor to = b.to(torch::kFloat64);
  const auto cosine = ((from * to).sum() / (from.norm() * to.norm())).clamp(-1, 1).item<double>();
  const double theta = std::acos(cosine);
  const bool straight = std::sin(theta) < kSmallestArc;
  std::vector<Tensor> points;
  for (const double u : fractions) {
    const double weight_a = straight ? 1 - u : std::sin((1 - u) * theta) / std::sin(theta);
    const double weight_b = straight ? u : std::sin(u * theta) / std::sin(theta);
    points.push_back((weight_a * from + weight_b * to).to(a.scalar_type()));
  }
  return torch::stack(points);
}

}  // namespace cm
