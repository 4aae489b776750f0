#include "cm/run/training_run.h"

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/data/latents.h"
#include "cm/data/pairs.h"
#include "cm/training/autoencoder_folder.h"
#include "cm/training/diffusers_folder.h"
#include "cm/training/guided_model.h"
#include "cm/training/lpips_file.h"
#include "run_checks.h"

namespace cm {
namespace {

// Weights that come from elsewhere, and what their file says of them.
struct Source {
  std::string what;  // "teacher.checkpoint runs/edm"
  ResolvedWeights weights;
  ModelOptions options;
};

// nullopt where none are named. `key` is what names them.
std::optional<Source> open_source(const char* key, const WeightSource& named) {
  if (!named.checkpoint) return std::nullopt;
  try {
    const ResolvedWeights weights = resolve_weights(*named.checkpoint, named);
    return Source{concat(key, ' ', *named.checkpoint), weights, read_weight_header(weights).options};
  } catch (const InputError& mistake) {
    throw InputError(concat(key, ' ', mistake.what()));
  }
}

// For the summary.
std::string described(const char* what, const ResolvedWeights& weights) {
  return concat("\n", what, weights.file.string(), "\n            ", weights.why);
}

// Another run's network as this run's default: consistency models train without dropout.
NetworkOptions without_dropout(NetworkOptions network) {
  common_options(network).dropout = 0;
  return network;
}

// Of a U-Net that lies without its pipeline we read that it is a consistency function.
void take_as_denoiser(ModelOptions& teacher, const std::string& source) {
  log_warning(concat(
      "teacher.checkpoint ", source,
      ": diffusers' U-Net alone does not say whether it is a diffusion model's; it is taken as one (edm)"));
  teacher.parameterization = Parameterization::edm;
}

// What a student of this space starts from.
std::optional<Source> open_start(const char* key, const WeightSource& named,
                                 const std::optional<LatentSpace>& space) {
  auto source = open_source(key, named);
  if (!source) return source;
  const std::string other = difference(source->options.latents, space);
  if (!other.empty()) throw InputError(concat(source->what, ": is ", other, ", as data gives"));
  return source;
}

// Of the data and their VAE; none for pixels.
std::optional<LatentSpace> space_of(const Dataset& data, const ImageCodec& codec) {
  if (data.pairs()) return data.pairs()->set().latents;
  if (!data.latents()) return std::nullopt;
  LatentSpace space = data.latents()->space();
  if (codec.of_latents()) space.vae_hash = codec.hash();
  return space;
}

// By the VAE that the config names, if it does.
ImageCodec codec_for(const RunConfig& config, const Dataset& data, const torch::Device& device) {
  if (!data.latents() || !config.data.latents->vae) return {};
  const std::string& folder = *config.data.latents->vae;
  return {load_autoencoder(folder, {.device = device}), data.latents()->space(), data.channels(),
          concat("data.latents.vae ", folder)};
}

// What the student will have learned: by its target's or its teacher's guidance, or of a teacher or pairs
// that had learned it.
std::optional<double> distilled_guidance(const RunConfig& config, const Method& method,
                                         const std::optional<Model>& teacher, const Dataset& data) {
  if (data.pairs()) return data.pairs()->set().guidance;
  if (method.target_guidance) return method.target_guidance;
  if (config.teacher.guidance.weight != 1) return config.teacher.guidance.weight;
  return teacher ? teacher->options().guidance : std::nullopt;
}

// "edm, skip or piecewise"
std::string starts_of(Parameterization student) {
  std::vector<std::string> names;
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    const bool fits = is_flow_map(student) || !is_flow_map(kind);
    if (fits && same_time(kind, student)) names.emplace_back(name);
  }
  return enumerate(names, "or");
}

// The weights that the student starts from, those of `source` (init, or else the teacher); nullopt for random
// ones. A network that takes its time as one path has it can't go on as one that takes it as another has, or
// as ¼ ln σ.
std::optional<ResolvedWeights> start_weights(const RunConfig& config, const std::optional<Source>& source) {
  if (!source) return std::nullopt;
  const Parameterization theirs = source->options.parameterization;
  if (same_time(theirs, *config.parameterization)) return source->weights;
  const auto other =
      concat(": its network takes time as ", to_string(theirs), " gives it, which a student of ",
             to_string(*config.parameterization), " can't start from");
  if (config.init.checkpoint) {
    throw InputError(concat("init.checkpoint ", *config.init.checkpoint, other, "; use one of ",
                            starts_of(*config.parameterization)));
  }
  log_info(
      concat("teacher.checkpoint ", *config.teacher.checkpoint, other, ": it starts from random weights"));
  return std::nullopt;
}

// The network of the objective's distance, if it is one.
std::shared_ptr<const Lpips> lpips_for(const RunConfig& config, const Method& method, const ImageSpec& image,
                                       bool latents, const torch::Device& device) {
  if (!method.distance || method.distance->kind != Distance::lpips) return nullptr;
  check_lpips(config, image, latents);
  return load_lpips(*config.lpips.weights, device);
}

// That of the config, or else of what it starts from.
NetworkOptions network_for(const RunConfig& config, const std::optional<Source>& source) {
  NetworkOptions network = config.model ? *config.model : without_dropout(source.value().options.network);
  common_options(network).second_time = is_flow_map(*config.parameterization);
  return network;
}

// With the weights `start` of the model `source`, or else random ones.
Model make_student(const RunConfig& config, const ModelOptions& options,
                   const std::optional<ResolvedWeights>& start, const std::optional<Source>& source,
                   const torch::Device& device) {
  const auto seed = static_cast<uint64_t>(config.train.seed);
  if (!start) return Model(options, device, seed);
  Model student(options, device, /*seed=*/std::nullopt);
  NamedTensors weights = load_weight_file(*start).weights;
  if (is_flow_map(options.parameterization) && !common_options(source->options.network).second_time)
    begin_second_time(weights, options.network, options.image, seed);
  copy_weights(weights, student.network(), start->file.string());
  return student;
}

// The objective's own section, and what the objective implies.
void fill_in(RunConfig& config) {
  with_section(config.sections, config.objective,
               []<class Options>(std::optional<Options>& section) { section = section.value_or(Options()); });
  if (config.data.kind == DatasetKind{"patches"})
    config.data.patches = config.data.patches.value_or(PatchOptions());
  config.parameterization = parameterization_of(config);
  if (!config.sampling.grid) config.sampling.grid = method_of(config).last_levels;
}

// Of the summary.
std::string latents_line(const ModelOptions& model, const RunConfig& config) {
  if (!model.latents) return "";
  const std::string& hash = model.latents->vae_hash;
  return concat("\nlatents     of ",
                hash.empty() ? "a VAE that nobody names" : concat("the VAE ", hash.substr(0, 12), "…"),
                "; sample pictures ",
                config.data.latents && config.data.latents->vae
                    ? concat("by ", *config.data.latents->vae)
                    : "show their first channels (data.latents.vae decodes them)");
}

std::string processes(const World& world) {
  return world.size() == 1 ? "" : concat(", shared by ", world.size(), " processes");
}

// Where the device could multiply faster than it is asked to.
std::string products_line(ComputeType type, const torch::Device& device) {
  if (device.is_cpu() && number_type(type) != torch::kFloat32) {
    return concat("\nproducts    in ", to_string(type),
                  ", which on a CPU is slower than train.dtype=fp32, and many times so where it has no "
                  "instructions for it");
  }
  if (type != ComputeType::fp32 || !has_tf32(device)) return "";
  return "\nproducts    in whole fp32; with train.dtype=tf32 a step of the ImageNet 64 × 64 network is 4.4 "
         "times as fast on an H100";
}

}  // namespace

TrainingRun::TrainingRun(const RunConfig& config, const torch::Device& device, const World& world)
    : config_(config) {
  refuse_mistakes("", [&](const Complain& complain) { validate(config, complain); });
  fill_in(config_);
  const Method method = method_of(config_);
  check_groups(config_.train, world, method.group);
  open_data(device);
  const ImageSpec image{
      .channels = dataset_->channels(), .size = dataset_->image_size(), .classes = dataset_->classes()};
  const auto space = space_of(*dataset_, codec_);
  lpips_ = lpips_for(config_, method, image, space.has_value(), device);
  const auto teacher = open_start("teacher.checkpoint", config_.teacher, space);
  if (teacher) load_teacher(teacher->weights, method, image, device);
  check_label_dropout(config_, image, teacher_);
  const auto init = open_start("init.checkpoint", config_.init, space);
  if (method.keeps_start) check_kept_start(config_, init.value().options, image);
  const auto& source = init ? init : teacher;
  if (source) check_times(config_, source->what, source->options.network);
  config_.model = network_for(config_, source);
  check_target_guidance(config_, method, image);
  refuse_mistakes("model.", [&](const Complain& complain) { validate_for(*config_.model, image, complain); });
  check_twice_differentiable(config_, method);
  const ModelOptions options{.network = *config_.model,
                             .image = image,
                             .parameterization = *config_.parameterization,
                             .sigma = config_.sigma,
                             .sampling = config_.sampling,
                             .distilled_steps = std::nullopt,
                             .label_dropout = config_.train.label_dropout,
                             .guidance = distilled_guidance(config_, method, teacher_, *dataset_),
                             .latents = space};
  const auto start = start_weights(config_, source);
  if (start) sources_ += described("start       ", *start);
  student_.emplace(make_student(config_, options, start, source, device));
  student_->compute_in(config_.train.dtype);
  if (method.has_target) target_ = student_->frozen_copy(options);
  if (method.keeps_start) {
    start_ = student_->frozen_copy(options);
    start_->hold_in(config_.train.dtype);
  }
  objective_ = objective_of(config_,
                            {.student = *student_,
                             .target = target_ ? &*target_ : nullptr,
                             .teacher = teacher_ ? &*teacher_ : nullptr,
                             .start = start_ ? &*start_ : nullptr},
                            lpips_);
  trainer_ = std::make_unique<Trainer>(config_.train, config_.optimizer, config_.ema, objective_, *student_,
                                       target_ ? &*target_ : nullptr, world);
}

void TrainingRun::open_data(const torch::Device& device) {
  dataset_ = open_dataset(config_.data);
  if (const PairDataset* pairs = dataset_->pairs()) check_pairs(config_, pairs->set());
  check_latents(config_, *dataset_);
  codec_ = codec_for(config_, *dataset_, device);
}

void TrainingRun::load_teacher(const ResolvedWeights& chosen, const Method& method, const ImageSpec& image,
                               const torch::Device& device) {
  const auto& file = chosen.file;
  sources_ += described("teacher     ", chosen);
  WeightFile weights = load_weight_file(chosen);
  if (is_bare_unet(file)) take_as_denoiser(weights.options, *config_.teacher.checkpoint);
  check_teacher(config_, method, weights.options, image);
  const Guidance& guidance = config_.teacher.guidance;
  check_guidance(weights.options, guidance, config_.teacher.guide.has_value(),
                 concat("teacher.guidance ", guidance.weight, " of ", *config_.teacher.checkpoint));
  // One that stages replace belongs to the checkpoints, with all that its weights tell.
  const auto held = method.has_stages ? std::nullopt : std::optional(config_.train.dtype);
  teacher_.emplace(make_model(weights, device, file.string(), held));
  teacher_->compute_in(config_.train.dtype);
  if (config_.teacher.guide) guide_teacher();
}

void TrainingRun::guide_teacher() {
  const Source guide = *open_source("teacher.guide", {{}, config_.teacher.guide});
  check_guide(teacher_->options(), guide.options, concat("teacher.guide ", *config_.teacher.guide));
  sources_ += described("guide       ", guide.weights);
  teacher_->guide_by(load_model(guide.weights.file, teacher_->device(), config_.train.dtype));
}

std::string TrainingRun::summary() const {
  const ImageSpec& image = student_->options().image;
  const auto parameters = static_cast<double>(parameter_count(student_->network()));
  const Shard shard = trainer_->shards().shard();
  const auto ranks = static_cast<double>(trainer_->world().size());
  // The student's weights, target, teacher, start; its gradient; its two moments and the averages. All are
  // fp32.
  const double whole = 1 + (target_ ? 1 : 0) + (teacher_ ? 1 : 0) + (start_ ? 1 : 0);
  const double gradient = 1 / (shard == Shard::gradients ? ranks : 1);
  const double others = static_cast<double>(2 + config_.ema.rates.size() + config_.ema.power_stds.size()) /
                        (shard == Shard::none ? 1 : ranks);
  const double copies = whole + gradient + others;
  const auto count = [](const torch::nn::Module& module) {
    return static_cast<double>(parameter_count(module));
  };
  const Model* guide = teacher_ ? teacher_->guide() : nullptr;
  const double numbers =
      parameters * copies + (lpips_ ? count(*lpips_) : 0) + (guide ? count(guide->network()) : 0);
  return concat(
      "objective   ", to_string(config_.objective), ", ", config_.train.steps, " steps of ",
      config_.train.batch_size, " images", processes(trainer_->world()), "\ndata        ", dataset_->size(),
      " images, ", image.channels, " × ", image.size, " × ", image.size, ", ", image.classes, " classes",
      latents_line(student_->options(), config_), sources_, "\nnetwork     ", human_count(parameters),
      " parameters\nmemory      ", human_bytes(4 * numbers), shard == Shard::none ? "" : " a process",
      " for weights, gradients, optimizer, ", "averages", target_ ? ", target" : "",
      teacher_ ? ", teacher" : "", start_ ? ", start" : "", guide ? ", guide" : "", lpips_ ? ", LPIPS" : "",
      "; activations come on top", products_line(config_.train.dtype, student_->device()));
}

}  // namespace cm
