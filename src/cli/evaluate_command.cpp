#include "cm/cli/evaluate_command.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/cli/compute_options.h"
#include "cm/metrics/report.h"
#include "cm/training/weight_choice.h"
#include "evaluation_report.h"
#include "image_output.h"
#include "ranks.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// Seconds that the other ranks wait while rank 0 computes scores. One that died is noticed at once.
constexpr double kScoresTimeout = 24 * 3600;

// One set of images to be measured.
struct Subject {
  SetHeader header;
  Json record = Json::object();                           // how its images are made, for the report
  std::function<PixelSource()> open;                      // loads what has or makes the pixels
  std::optional<ResolvedWeights> weights = std::nullopt;  // that make them
};

Subject subject_of(ImageSet images) {
  const auto kept = std::make_shared<const ImageSet>(std::move(images));
  return {.header = kept->header(), .open = [kept] {
            return [kept](int64_t first, int64_t n) { return kept->pixels.narrow(0, first, n); };
          }};
}

Json record_of(const SampleSetPlan& plan, const ImageCodec& codec, ComputeType type) {
  Json record = sampler_record(plan.sampler);
  record["dtype"] = to_string(type);
  if (codec.of_latents()) record["vae"] = codec.hash();
  if (const auto origin = origin_of(plan.weights)) {
    const WeightChoice& average = origin->average;
    record["run"] = origin->run.string();
    record["step"] = origin->step;
    record["ema"] = average.ema ? Json(*average.ema) : Json(nullptr);
    if (average.ema_std) record["ema_std"] = *average.ema_std;
  }
  return record;
}

Subject subject_of(const SampleSetPlan& plan, const ImageCodec& codec, const EvaluateCommand& command,
                   torch::Device device) {
  const auto open = [plan, codec, device, seed = command.common.seed.value_or(0),
                     rule = command.sampling.quantization,
                     compute = command.sampling.compute]() -> PixelSource {
    const auto model =
        std::make_shared<const Model>(open_model(plan.weights, plan.sampler.guide, device, compute));
    return [=](int64_t first, int64_t n) {
      const SampleNoise noise = seeded_noise(plan.model, plan.sampler, seed, first, n, device);
      return pixels_of(codec.decode(planned_samples(plan, *model, noise, first, n)), plan.weights.file, rule);
    };
  };
  return {.header = header_of(plan, codec, command.sampling.count),
          .record = record_of(plan, codec, command.sampling.compute.dtype),
          .open = open,
          .weights = plan.weights};
}

std::vector<Subject> subjects_of(const EvaluateCommand& command, torch::Device device) {
  if (command.samples) return {subject_of(load_images(*command.samples))};
  std::vector<WeightChoice> choices;
  for (const double rate : command.ema) choices.push_back({.ema = rate});
  for (const double std : command.ema_std) choices.push_back({.ema_std = std});
  if (choices.empty()) choices.emplace_back();
  std::vector<Subject> subjects;
  CodecOpener codecs(command.sampling.vae, device);
  for (const auto& checkpoint : command.checkpoints) {
    for (const auto& choice : choices) {
      const SampleSetPlan plan = plan_samples(checkpoint, choice, command.sampling);
      subjects.push_back(subject_of(plan, codecs.open(plan.weights, plan.model), command, device));
    }
  }
  return subjects;
}

void check_sources(const EvaluateCommand& command) {
  if (command.samples.has_value() == !command.checkpoints.empty()) {
    throw InputError("give one of --samples, the images to measure, and --checkpoint, what makes them");
  }
  if (command.samples && !(command.ema.empty() && command.ema_std.empty())) {
    throw InputError("--ema and --ema-std choose weights of --checkpoint, but --samples are images");
  }
  if (command.reference.reference.empty() && command.metrics.empty() && !command.statistics) {
    throw InputError(
        "--reference is required: what the samples are compared with; or give --save-stats FILE");
  }
}

void check_outputs(const EvaluateCommand& command, const std::vector<Subject>& subjects) {
  if (command.statistics && subjects.size() > 1) {
    throw InputError(concat("--save-stats: keeps the statistics of one set of images, but these are ",
                            subjects.size(), "; name one checkpoint and one average"));
  }
  if (command.statistics) refuse_to_replace(*command.statistics, command.common.force);
  if (!command.plot) return;
  if (fs::exists(*command.plot) && !fs::is_directory(*command.plot)) {
    throw InputError(concat("--plot ", *command.plot, ": is a file; name a folder"));
  }
  for (const Subject& subject : subjects) {
    if (subject.record.contains("step")) continue;
    throw InputError(concat("--plot: ", subject.header.path,
                            " lies in no checkpoint of a run, so its training step is not known; name "
                            "checkpoints, as RUN/checkpoints/step-*"));
  }
}

void check_shapes(const std::vector<Subject>& subjects) {
  const SetHeader& first = subjects.front().header;
  for (const Subject& subject : subjects) {
    if (subject.header.shape == first.shape) continue;
    throw InputError(concat(subject.header.path, ": makes images of ", to_string(subject.header.shape),
                            ", but ", first.path, " makes ", to_string(first.shape),
                            "; what is compared must have one shape"));
  }
}

// None when nothing but statistics is asked for.
std::unique_ptr<Evaluator> evaluator_of(const EvaluateCommand& command, const FeatureExtractor& extractor) {
  std::vector<std::string> metrics = command.metrics;
  const std::string& path = command.reference.reference;
  if (metrics.empty() && path.empty()) return nullptr;
  if (metrics.empty()) metrics = {distance_metric(extractor)};
  std::optional<Reference> reference;
  if (!path.empty()) reference = load_reference(path);
  const EvaluationOptions options{.metrics = metrics,
                                  .batch_size = command.sampling.batch,
                                  .calibrate = command.calibrate,
                                  .extrapolate = command.extrapolate,
                                  .seed = command.common.seed.value_or(0),
                                  .resize_named = command.reference.features.resize.has_value()};
  return std::make_unique<Evaluator>(std::move(reference), extractor, options);
}

// For the scores and the statistics together.
Wanted wanted_of(const EvaluateCommand& command, const Evaluator* evaluator,
                 const FeatureExtractor& extractor) {
  Wanted wanted = evaluator ? evaluator->wanted() : Wanted{.features = false};
  if (command.statistics) {
    wanted.features = true;
    wanted.spatial = wanted.spatial || extractor.is_inception();
  }
  return wanted;
}

// The report of one subject; null when nothing but its statistics is asked for, and on all ranks but the
// first.
Json measure(const EvaluateCommand& command, const Subject& subject, const FeatureExtractor& extractor,
             Evaluator* evaluator, const World& world) {
  const SetHeader& header = subject.header;
  const Activations activations =
      activations_of(header.count, subject.open(), extractor, wanted_of(command, evaluator, extractor),
                     command.sampling.batch, world);
  if (!world.is_first()) return nullptr;
  if (subject.weights) say_weights(*subject.weights);
  if (command.statistics) {
    save_statistics(*command.statistics, statistics_of(header, activations, extractor));
    std::cerr << "the statistics of " << header.count << " images: " << *command.statistics << '\n';
  }
  if (!evaluator) return nullptr;
  const auto scores = evaluator->evaluate(header, activations);
  Json report = report_of(scores, header, evaluator->reference(), extractor, evaluator->options(),
                          evaluator->warnings(header));
  report["samples"].update(subject.record);
  return report;
}

void announce(const std::vector<Subject>& subjects, const FeatureExtractor& extractor) {
  for (const Subject& subject : subjects) {
    Json set = {{"path", subject.header.path}, {"count", subject.header.count}};
    set.update(subject.record);
    std::cout << describe_set(set) << '\n';
  }
  std::cout << "in the features " << extractor.name() << ", " << extractor.width()
            << " wide: everything is there; nothing was computed\n";
}

void print_one(const Json& report, bool json) {
  for (const auto& warning : report.at("warnings")) log_warning(warning.get<std::string>());
  std::cout << (json ? json_text(report, 2) + "\n" : table_of(report));
}

void print_all(const std::vector<Json>& reports, bool json) {
  if (json) {
    std::cout << json_text(Json{{"evaluations", reports}}, 2) << '\n';
    return;
  }
  std::set<std::string> warnings;
  for (const Json& report : reports) {
    for (const auto& warning : report.at("warnings")) warnings.insert(warning.get<std::string>());
  }
  for (const auto& warning : warnings) log_warning(warning);
  std::cout << table_of(reports) << basis_of(reports.front());
}

void draw(const std::string& folder, const std::vector<Json>& reports) {
  fs::create_directories(folder);
  for (const auto& score : scores_in(reports.front())) {
    const fs::path file = fs::path(folder) / (score + ".png");
    const Chart chart = chart_of(reports, score);
    write_png(file, draw_chart(chart));
    std::cerr << score << " over " << chart.x_label << ": " << file.string() << '\n';
  }
}

// "fid 3.21  precision 0.7"
std::string scores_line(const Json& report) {
  std::string line;
  for (const auto& score : scores_in(report)) {
    line += concat(line.empty() ? "" : "  ", score, ' ', report.at(score).get<double>());
  }
  return line;
}

// All that is checked before anything is computed.
struct Opened {
  std::vector<Subject> subjects;
  std::unique_ptr<FeatureExtractor> extractor;
  std::unique_ptr<Evaluator> evaluator;
};

Opened open_named(const EvaluateCommand& command, const torch::Device& device) {
  check_sources(command);
  Opened opened{.subjects = subjects_of(command, device), .extractor = nullptr, .evaluator = nullptr};
  check_shapes(opened.subjects);
  check_outputs(command, opened.subjects);
  opened.extractor = make_features(command.reference.features, opened.subjects.front().header.shape, device);
  opened.evaluator = evaluator_of(command, *opened.extractor);
  for (const Subject& subject : opened.subjects) {
    if (opened.evaluator) opened.evaluator->check(subject.header);
  }
  return opened;
}

// The reports of all subjects, in their order.
std::vector<Json> measure_all(const EvaluateCommand& command, Opened& opened, const World& world) {
  std::vector<Json> reports;
  for (const Subject& subject : opened.subjects) {
    Json report = measure(command, subject, *opened.extractor, opened.evaluator.get(), world);
    if (report.is_null()) continue;
    if (opened.subjects.size() > 1) {
      log_info(concat(reports.size() + 1, " of ", opened.subjects.size(), ", ", subject.header.path, ": ",
                      scores_line(report)));
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace

int run_evaluate_command(const EvaluateCommand& command) {
  const Ranks ranks = join_ranks(command.common);
  const World& world = ranks.world;
  world.set_timeout(kScoresTimeout);
  Opened opened;
  world.together([&] { opened = open_named(command, ranks.device); });
  if (command.dry_run) {
    if (world.is_first()) announce(opened.subjects, *opened.extractor);
    return 0;
  }
  const std::vector<Json> reports = measure_all(command, opened, world);
  if (reports.empty()) return 0;
  if (command.plot) draw(*command.plot, reports);
  if (reports.size() == 1) {
    print_one(reports.front(), command.json);
  } else {
    print_all(reports, command.json);
  }
  return 0;
}

}  // namespace cm
