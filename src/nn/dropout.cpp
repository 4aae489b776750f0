#include "cm/nn/dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "cm/base/random.h"

namespace cm {
namespace {

at::Generator generator_on(const torch::Device& device, uint64_t seed) {
  if (device.is_cpu()) return at::make_generator<at::CPUGeneratorImpl>(seed);
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(seed);
  return generator;
}

}  // namespace

Tensor dropout(const Tensor& x, double rate, const std::optional<DropoutKey>& key, int64_t layer) {
  if (!key || rate == 0) return x;
  const RandomKey random{.seed = key->seed, .purpose = Purpose::dropout};
  const at::Generator generator = generator_on(x.device(), random.bits(static_cast<uint32_t>(layer)));
  // Filled in the order of x's elements, not of its memory: attention's kernels leave different layouts
  // behind.
  const Tensor mask = torch::empty_like(x, at::MemoryFormat::Contiguous).bernoulli_(1 - rate, generator);
  return x * mask.div_(1 - rate);
}

}  // namespace cm
