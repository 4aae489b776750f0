#include "cm/training/shared_walk.h"

#include <utility>

#include "cm/base/text.h"
#include "cm/distributed/spread.h"

namespace cm {

SharedWalk::SharedWalk(const Model& model, const Tensor& labels, SharedWalkOptions options)
    : model_(model), labels_(labels), options_(std::move(options)) {}

Tensor SharedWalk::images(const std::vector<double>& sigmas) {
  TORCH_CHECK(!sigmas.empty(), "a walk needs a time point");
  if (sigmas.size() == 1) return first(sigmas.front());
  const std::vector<double> beginning(sigmas.begin(), sigmas.end() - 1);
  if (beginning != beginning_) {
    kept_ = images(beginning);
    beginning_ = beginning;
  }
  return next(kept_, sigmas);
}

Tensor SharedWalk::first(double sigma_max) const {
  const SamplerOptions onestep = one_step(model_.options(), sigma_max, options_.guidance);
  const auto make = [&](int64_t first, int64_t n) {
    options_.before_batch();
    return sample(model_, onestep,
                  seeded_noise(model_.options(), onestep, options_.seed, first, n, model_.device()),
                  rows_of(labels_, first, n));
  };
  return spread_batches(World(), options_.count, options_.batch, make, "sampling");
}

Tensor SharedWalk::next(const Tensor& x, const std::vector<double>& sigmas) const {
  const auto step = static_cast<int64_t>(sigmas.size()) - 2;  // the draw between the last two points
  const std::string what = concat("sampling at sigma ", sigmas.back());
  const auto make = [&](int64_t first, int64_t n) {
    options_.before_batch();
    const Tensor z = seeded_draws(model_.options(), options_.seed, first, n)(step);
    return sample_next(model_, x.narrow(0, first, n), sigmas.back(), z, rows_of(labels_, first, n),
                       options_.guidance);
  };
  return spread_batches(World(), options_.count, options_.batch, make, what);
}

}  // namespace cm
