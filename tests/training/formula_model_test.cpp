#include "cm/training/formula_model.h"

#include <gtest/gtest.h>

#include "cm/diffusion/gaussian_mixture.h"
#include "support/closeness.h"

namespace cm {
namespace {

GaussianMixture mixture() {
  return {torch::tensor({{-1.0, 0.4}, {0.8, -0.5}}, torch::kFloat64),
          torch::tensor({0.4, 0.6}, torch::kFloat64), torch::tensor({0.3, 0.1}, torch::kFloat64)};
}

ModelOptions options(Parameterization parameterization = Parameterization::edm) {
  ModelOptions options;
  options.image = {.channels = 2, .size = 1, .classes = 0};
  options.parameterization = parameterization;
  return options;
}

// The largest error of the model's denoiser at points of the levels that training meets.
double error_in(torch::Dtype dtype) {
  const Model model = formula_model(denoiser_of(mixture()), options(), torch::kCPU);
  double largest = 0;
  for (const double level : {0.002, 0.02, 0.5, 3.0, 80.0}) {
    const Tensor x = draw(mixture(), level, 3, 0, sample_range(0, 32)).view({-1, 2, 1, 1}).to(dtype);
    const Tensor sigma = torch::full({32}, level, dtype);
    largest = std::max(
        largest, test::largest_difference(model.denoiser()(x, sigma), denoiser_of(mixture())(x, sigma)));
  }
  return largest;
}

TEST(FormulaModel, ItsDenoiserIsTheFormula) {
  EXPECT_LT(error_in(torch::kFloat64), 1e-12);
  EXPECT_LT(error_in(torch::kFloat32), 2e-5);
}

TEST(FormulaModel, HasNothingToTrain) {
  const Model model = formula_model(denoiser_of(mixture()), options(), torch::kCPU);
  EXPECT_TRUE(model.parameters().empty());
}

TEST(FormulaModel, RefusesOtherParameterizations) {
  EXPECT_THROW(formula_model(denoiser_of(mixture()), options(Parameterization::skip), torch::kCPU),
               c10::Error);
}

}  // namespace
}  // namespace cm
