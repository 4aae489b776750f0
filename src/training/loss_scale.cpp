#include "cm/training/loss_scale.h"

#include "cm/kernels/multi_tensor.h"

namespace cm {
namespace {

constexpr double kFirst = 65536;
constexpr int64_t kCleanSteps = 2000;

}  // namespace

LossScale::LossScale(const torch::Device& device)
    : value_(number_on(device, torch::kFloat32, kFirst)), clean_steps_(number_on(device, torch::kInt64, 0)) {}

void LossScale::update(const Tensor& usable) {
  const torch::NoGradGuard guard;
  clean_steps_.add_(1).mul_(usable);
  const Tensor grows = clean_steps_ >= kCleanSteps;
  value_.mul_(torch::where(usable, torch::where(grows, 2.0, 1.0), 0.5)).clamp_min_(1);
  clean_steps_.mul_(grows.logical_not());
}

void LossScale::restore(double value, int64_t clean_steps) {
  value_.fill_(value);
  clean_steps_.fill_(clean_steps);
}

}  // namespace cm
