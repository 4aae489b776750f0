#include "truth_cases.h"

#include <cmath>

#include "cm/run/method.h"

namespace cm::truths {
namespace {

// The published curricula end at 150 and 1280 levels after hundreds of thousands of steps. What is learned
// goes up the grid a level at a time, as fast as the target follows, so that a hundredth of the steps takes a
// coarser grid and a target of shorter memory.
constexpr int64_t kLastCtLevels = 32;
constexpr double kFirstCtDecay = 0.1;
constexpr int64_t kLastIctLevels = 160;
constexpr int64_t kEctStages = 8;
// N = 16, 8 and 4 take one seventh of the steps each, N = 2 and N = 1 two.
constexpr int64_t kPdSevenths = 7;

RunConfig base(ObjectiveKind objective, int64_t steps, int64_t seed) {
  RunConfig config;
  config.objective = objective;
  config.sigma.data = sigma_data(mixture());
  config.optimizer.lr = 1e-3;
  config.optimizer.decay = LearningRateDecay::cosine;
  config.optimizer.clip_norm = 1;
  config.ema.rates = {};
  config.train.steps = steps;
  config.train.batch_size = 256;
  config.train.seed = seed;
  return config;
}

// μ = 0, as the paper has it for CIFAR-10.
Case distillation(const RunConfig& base, Solver solver, int64_t n) {
  Case one{.name = concat("cd-", to_string(solver), "-", n), .config = base, .from_diffusion = true};
  one.config.cd = CdOptions{.n = n, .solver = solver, .mu = 0};
  return one;
}

// Grids whose levels are among those of the next, so that all can be measured at the same ones.
void add_distillation(std::vector<Case>& cases, const RunConfig& base) {
  for (const int64_t n : {5, 9, 17, 33}) cases.push_back(distillation(base, Solver::euler, n));
  for (const Solver solver :
       {Solver::heun, Solver::midpoint, Solver::dpm, Solver::dpm_solver_2, Solver::rk4}) {
    cases.push_back(distillation(base, solver, 17));
  }
  Case average = distillation(base, Solver::heun, 17);
  average.name += "-mu-0.95";
  average.config.cd->mu = 0.95;
  cases.push_back(average);
}

void add_training(std::vector<Case>& cases, const RunConfig& base) {
  for (const int64_t n : {17, 65}) {
    Case one{.name = concat("ct-", n), .config = base};
    one.config.ct = CtOptions{.levels = {.schedule = LevelSchedule::fixed, .s0 = n}, .target = {.mu = 0}};
    cases.push_back(one);
  }
  Case progressive{.name = "ct", .config = base};
  progressive.config.ct = CtOptions{.levels = {.s1 = kLastCtLevels},
                                    .target = {.schedule = DecaySchedule::adaptive, .mu = kFirstCtDecay}};
  cases.push_back(progressive);
}

}  // namespace

GaussianMixture mixture() {
  return {.means = torch::tensor({{-0.7, -0.3}, {0.6, -0.5}, {0.2, 0.7}, {-0.5, 0.5}}, torch::kFloat64),
          .weights = torch::tensor({0.4, 0.3, 0.2, 0.1}, torch::kFloat64),
          .stds = torch::tensor({0.12, 0.2, 0.15, 0.1}, torch::kFloat64)};
}

double sigma_data(const GaussianMixture& data) {
  return std::sqrt(covariance_of(data, 0).diagonal().mean().item<double>());
}

std::vector<Case> cases(int64_t steps, int64_t seed) {
  const auto with = [&](ObjectiveKind objective) { return base(objective, steps, seed); };
  std::vector<Case> all;
  all.push_back({.name = "edm", .config = with(ObjectiveKind::edm)});
  add_distillation(all, with(ObjectiveKind::cd));

  Case continuous{
      .name = "continuous_cd", .config = with(ObjectiveKind::continuous_cd), .from_diffusion = true};
  continuous.config.continuous_cd = ContinuousOptions{.weight = ContinuousWeight::limit};
  continuous.config.optimizer.clip_norm.reset();
  all.push_back(continuous);
  continuous.name = "continuous_cd-through-tangent";
  continuous.config.continuous_cd->stop_gradient = false;
  all.push_back(continuous);
  all.push_back({.name = "scd", .config = with(ObjectiveKind::scd)});
  all.back().config.scd = ScmOptions{.tangent_warmup_steps = steps / 4};

  Case progressive{.name = "pd", .config = with(ObjectiveKind::pd), .from_diffusion = true};
  progressive.config.pd =
      PdOptions{.start_steps = 16, .steps_per_stage = std::max<int64_t>(1, steps / kPdSevenths)};
  all.push_back(progressive);

  add_training(all, with(ObjectiveKind::ct));
  all.push_back({.name = "ict", .config = with(ObjectiveKind::ict)});
  all.back().config.ict = IctOptions{};
  all.back().config.ict->levels.s1 = kLastIctLevels;
  all.push_back({.name = "ect", .config = with(ObjectiveKind::ect), .from_diffusion = true});
  all.back().config.ect = EctOptions{.steps_per_stage = std::max<int64_t>(1, steps / kEctStages)};
  all.push_back({.name = "continuous_ct", .config = with(ObjectiveKind::continuous_ct)});
  all.back().config.continuous_ct = ContinuousOptions{.weight = ContinuousWeight::limit};
  all.push_back({.name = "sct", .config = with(ObjectiveKind::sct)});
  all.back().config.sct = ScmOptions{.tangent_warmup_steps = steps / 4};
  return all;
}

Json settings_of(const Case& one) {
  const RunConfig& config = one.config;
  const Json whole = json_of(config);
  const GaussianMixture data = mixture();
  Json means = Json::array();
  for (int64_t k = 0; k < data.means.size(0); ++k) {
    means.push_back({data.means[k][0].item<double>(), data.means[k][1].item<double>()});
  }
  const auto list = [](const Tensor& values) {
    return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
  };
  return {{"objective", to_string(config.objective)},
          {"options", whole.at(to_string(config.objective))},
          {"parameterization", to_string(parameterization_of(config))},
          {"start", one.from_diffusion ? "diffusion" : "random"},
          {"teacher", method_of(config).needs_teacher ? Json("exact") : Json(nullptr)},
          {"steps", config.train.steps},
          {"batch_size", config.train.batch_size},
          {"seed", config.train.seed},
          {"optimizer", whole.at("optimizer")},
          {"sigma", whole.at("sigma")},
          {"mixture", {{"means", means}, {"weights", list(data.weights)}, {"stds", list(data.stds)}}}};
}

}  // namespace cm::truths
