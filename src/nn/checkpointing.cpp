#include "checkpointing.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "cm/base/dual.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Keeps the block in the autograd context.
struct BlockHolder : torch::CustomClassHolder {
  explicit BlockHolder(Block held) : block(std::move(held)) {}
  Block block;
};

// The inputs of a block, with their tangents.
struct Duals {
  Joined x;
  Tensor embedding;
};

Tensor detached_leaf(const Tensor& tensor) {
  return tensor.detach().requires_grad_(true);
}

Tensor gradient_of(const Tensor& leaf) {
  return leaf.defined() ? leaf.grad() : Tensor();
}

struct Recompute : torch::autograd::Function<Recompute> {
  // The output's value and, where the inputs have any, its tangent. Autograd sees no duals: their values and
  // tangents are inputs and outputs of their own.
  static variable_list forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& more,
                               const Tensor& embedding, const Duals& duals, const Block& block) {
    context->save_for_backward({x, more.value_or(Tensor()), embedding});
    context->set_materialize_grads(false);  // no zeros for the tangent, which has no gradient
    context->saved_data["block"] = c10::IValue::make_capsule(c10::make_intrusive<BlockHolder>(block));
    const Tensor output = block(duals.x, duals.embedding);
    if (!has_tangent(output)) return {output};
    const Tensor tangent = tangent_of(output);
    context->mark_non_differentiable({tangent});
    return {value_of(output), tangent};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    TORCH_CHECK(!torch::GradMode::is_enabled(),
                "activation checkpointing: the recomputed block has no second derivative");
    const auto saved = context->get_saved_variables();
    const auto holder = context->saved_data["block"].toCapsule();
    const Block& block = static_cast<const BlockHolder&>(*holder).block;
    const Joined x = each_of({saved[0], saved[1]}, detached_leaf);
    const Tensor embedding = detached_leaf(saved[2]);
    {
      const torch::AutoGradMode recording(true);
      torch::autograd::backward({block(x, embedding)}, {gradients[0]});
    }
    return {x.first.grad(), gradient_of(x.second), embedding.grad(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor checkpointed(const Block& block, const Joined& x, const Tensor& embedding) {
  if (!torch::GradMode::is_enabled()) return block(x, embedding);
  std::optional<Tensor> more;
  if (x.second.defined()) more = value_of(x.second);
  const auto found =
      Recompute::apply(value_of(x.first), more, value_of(embedding), Duals{x, embedding}, block);
  return found.size() == 1 ? found[0] : dual(found[0], found[1]);
}

}  // namespace cm
