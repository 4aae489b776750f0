// Inputs of a group normalisation with what follows it.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "cm/base/random.h"
#include "cm/kernels/group_norm.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"

namespace cm::test {

inline constexpr std::array kFormats = {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast};

struct Shape {
  int64_t batch;
  int64_t channels;
  int64_t groups;
  int64_t height;
  int64_t width;
};

// The bias of an image: none, one of all images, or one of each.
enum class Added { nothing, to_all, to_each };

struct Case {
  Tensor x;
  Tensor more;  // beside x; undefined: nothing
  Tensor added;
  NormParameters norm;
  Tensor condition;
  Tensor dy;
  Activation activation;

  NormInput input() const { return {Joined(x, more), added}; }
  std::vector<Tensor> inputs() const {
    std::vector<Tensor> all = {x, norm.weight, norm.bias};
    for (const Tensor& given : {condition, added, more}) {
      if (given.defined()) all.push_back(given);
    }
    return all;
  }
  // With every tensor a leaf of its own, in its own type or in another.
  Case leaves(std::optional<torch::Dtype> dtype = std::nullopt) const {
    const auto leaf = [&](const Tensor& t) {
      return t.defined() ? t.detach().to(dtype.value_or(t.scalar_type())).clone().requires_grad_(true) : t;
    };
    return {leaf(x),         leaf(more),
            leaf(added),     {norm.groups, norm.epsilon, leaf(norm.weight), leaf(norm.bias)},
            leaf(condition), dy.to(dtype.value_or(dy.scalar_type())),
            activation};
  }
  Case as(torch::Dtype dtype) const { return leaves(dtype); }
  // On a device, with images of this type.
  Case on(const torch::Device& device, torch::Dtype images = torch::kFloat32) const {
    const auto there = [&](const Tensor& t) { return t.defined() ? t.to(device) : t; };
    const auto image = [&](const Tensor& t) { return t.defined() ? t.to(device, images) : t; };
    return {image(x),         image(more),
            there(added),     {norm.groups, norm.epsilon, norm.weight.to(device), norm.bias.to(device)},
            there(condition), image(dy),
            activation};
  }
  // The same with x's channels from `seam` on in an image of their own.
  Case cut(int64_t seam) const {
    const auto format =
        x.is_contiguous() ? torch::MemoryFormat::Contiguous : torch::MemoryFormat::ChannelsLast;
    Case it = *this;
    it.x = x.narrow(1, 0, seam).contiguous(format);
    it.more = x.narrow(1, seam, x.size(1) - seam).contiguous(format);
    return it;
  }
};

inline Case some_case(const Shape& shape, torch::MemoryFormat format, bool conditioned, Activation activation,
                      Added added = Added::nothing) {
  const auto draw = [&](uint64_t seed, int64_t rows, const std::vector<int64_t>& of_each) {
    return normal({.seed = seed}, sample_range(0, rows), of_each);
  };
  const int64_t c = shape.channels;
  const std::vector<int64_t> image = {c, shape.height, shape.width};
  Case it;
  it.x = (2 * draw(1, shape.batch, image) + 0.7).contiguous(format);
  it.norm = {shape.groups, 1e-5, 1 + 0.3 * draw(2, 1, {c})[0], draw(3, 1, {c})[0]};
  if (conditioned) it.condition = 0.5 * draw(4, shape.batch, {2 * c});
  if (added != Added::nothing) it.added = draw(6, shape.batch, {c});
  if (added == Added::to_all) it.added = it.added[0];
  it.dy = draw(5, shape.batch, image).contiguous(format);
  it.activation = activation;
  return it;
}

// On the scale of the numbers, or of 1 where all of them are small.
inline double error(const Tensor& actual, const Tensor& expected) {
  return largest_difference(actual, expected) / std::max(1.0, largest(expected));
}

}  // namespace cm::test
