#include "dual_attention.h"

#include <cmath>

#include "cm/base/dual.h"

namespace cm {
namespace {

constexpr int64_t kQueriesAtOnce = 128;

// Of all heads, [B · heads, positions, d].
struct Heads {
  Tensor value;
  Tensor tangent;  // zeros where there was none

  explicit Heads(const Tensor& x, double factor = 1) {
    const auto side_by_side = [&](const Tensor& t) {
      return (factor == 1 ? t : factor * t).contiguous().flatten(0, 1);
    };
    value = side_by_side(value_of(x));
    tangent = has_tangent(x) ? side_by_side(tangent_of(x)) : torch::zeros_like(value);
  }
  Heads(Tensor of_value, Tensor of_tangent) : value(std::move(of_value)), tangent(std::move(of_tangent)) {}
  Heads rows(int64_t first, int64_t count) const {
    return {value.narrow(1, first, count), tangent.narrow(1, first, count)};
  }
};

// Of some queries, which have been scaled.
Tensor block_tangent(const Heads& q, const Heads& k, const Heads& v) {
  const auto type = q.value.scalar_type();
  const auto precise = at::promote_types(type, at::kFloat);
  const Tensor k_t = k.value.transpose(1, 2);
  const Tensor p = at::softmax(at::bmm(q.value, k_t), -1, precise);
  const Tensor s_dot = at::bmm(q.value, k.tangent.transpose(1, 2)).baddbmm_(q.tangent, k_t);
  Tensor p_dot = p * s_dot;
  p_dot.addcmul_(p, p_dot.sum(-1, /*keepdim=*/true), -1);
  return at::bmm(p.to(type), v.tangent).baddbmm_(p_dot.to(type), v.value);
}

Tensor attention_tangent(const Tensor& of_q, const Tensor& of_k, const Tensor& of_v) {
  const Heads q(of_q, 1 / std::sqrt(static_cast<double>(of_q.size(3))));
  const Heads k(of_k);
  const Heads v(of_v);
  const int64_t positions = of_q.size(2);
  Tensor o_dot = torch::empty_like(q.value);
  for (int64_t first = 0; first < positions; first += kQueriesAtOnce) {
    const int64_t count = std::min(kQueriesAtOnce, positions - first);
    o_dot.narrow(1, first, count).copy_(block_tangent(q.rows(first, count), k, v));
  }
  return o_dot.view(of_q.sizes());
}

}  // namespace

Tensor dual_attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  const auto attended = [](const Tensor& queries, const Tensor& keys, const Tensor& values) {
    return at::scaled_dot_product_attention(queries, keys, values);
  };
  if (!has_tangent(q) && !has_tangent(k) && !has_tangent(v)) return attended(q, k, v);
  const Tensor tangent = no_grad([&] { return attention_tangent(q, k, v); });
  return dual(attended(value_of(q), value_of(k), value_of(v)), tangent);
}

}  // namespace cm
