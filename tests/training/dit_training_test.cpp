// Training of DiT's transformer: by every method, and its Jacobian-vector product in double.
#include <gmock/gmock.h>

#include "cm/diffusion/jvp.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/small_dit.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

TEST(DitTraining, EveryMethodMovesItsWeights) {
  for (const ObjectiveKind method : test::kMethods) {
    SCOPED_TRACE(to_string(method));
    test::TinyRun run(method, test::tiny_train_options(), test::small_dit());
    std::vector<Tensor> before;
    for (const Tensor& parameter : run.student.parameters()) before.push_back(parameter.detach().clone());
    run.train_to(2);
    const auto after = run.student.parameters();
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_TRUE(after[i].isfinite().all().item<bool>()) << i;
      EXPECT_FALSE(torch::equal(after[i], before[i])) << i;
    }
  }
}

struct DitPoint {
  Tensor sigma = torch::tensor({0.05, 1.0, 20.0}, torch::kFloat64);
  Tensor x = per_sample(sigma, sample(1)) * sample(1);
  Direction direction = {sample(2), torch::ones_like(sigma)};
  Tensor labels = torch::tensor({0, 2, -1});

  static Tensor sample(uint64_t seed) {
    return normal({.seed = seed}, sample_range(0, 3), {1, 4, 4}).to(torch::kFloat64);
  }
};

Denoiser dit_denoiser(bool recomputed, const DitPoint& point) {
  ModelOptions options = test::tiny_options();
  DitOptions network = test::small_dit();
  network.activation_checkpointing = recomputed;
  options.network = network;
  const Model model = test::tiny_model(options, 4);
  model.network().to(torch::kFloat64);
  return model.denoiser(point.labels);
}

TEST(DitTraining, ItsTangentAgreesWithFiniteDifferences) {
  const DitPoint point;
  for (const bool recomputed : {false, true}) {
    const Denoiser f = dit_denoiser(recomputed, point);
    const Jvp ours = jvp(f, point.x, point.sigma, point.direction);
    // With a step in proportion to σ, because the network's time is 250 ln σ.
    const Tensor h = 1e-6 * point.sigma;
    const auto at = [&](double sign) {
      const Tensor shift = sign * h;
      return no_grad([&] {
        return f(point.x + per_sample(shift, point.x) * point.direction.x_dot, point.sigma + shift);
      });
    };
    const Tensor difference = (at(1) - at(-1)) / per_sample(2 * h, point.x);
    EXPECT_GT(test::largest(ours.tangent), 0.1);
    EXPECT_LT(test::relative_difference(ours.tangent, difference), 1e-6) << recomputed;
    EXPECT_LT(test::relative_difference(ours.value, no_grad([&] { return f(point.x, point.sigma); })), 1e-12);
  }
}

TEST(DitTraining, TwoBackwardPassesGiveTheSameTangent) {
  const DitPoint point;
  const Denoiser f = dit_denoiser(/*recomputed=*/false, point);
  const Jvp backward = differentiable_jvp(f, point.x, point.sigma, point.direction);
  const Jvp forward = jvp(f, point.x, point.sigma, point.direction);
  EXPECT_LT(test::relative_difference(backward.tangent, forward.tangent), 1e-11);
}

}  // namespace
}  // namespace cm
