#include "step_memory_config.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/yaml/reader.h"

namespace cm {
namespace {

RunConfig read(const std::filesystem::path& path) {
  return read_config<RunConfig>(load_yaml(path.string()));
}

ImageSpec image_of(const DataOptions& data, const std::string& path, int64_t classes) {
  const auto labelled = [&](int64_t count) { return data.labels ? count : 0; };
  switch (data.kind) {
    case DatasetKind::digits:
      return {.channels = 1, .size = 8, .classes = labelled(10)};
    case DatasetKind::cifar10:
      return {.channels = 3, .size = 32, .classes = labelled(10)};
    case DatasetKind::folder:
    case DatasetKind::patches:
      if (!data.image_size) throw InputError(concat(path, ": data.image_size is needed here"));
      return {.channels = data.channels.value_or(kDefaultChannels),
              .size = *data.image_size,
              .classes = labelled(classes)};
    case DatasetKind::npz:
      throw InputError(concat(path, ": data.kind npz does not tell the images' size"));
  }
  TORCH_INTERNAL_ASSERT(false, "not a kind of data");
}

}  // namespace

NamedConfig read_named_config(const std::filesystem::path& path, int64_t classes) {
  NamedConfig named;
  named.name = (path.parent_path().filename() / path.stem()).string();
  named.config = read(path);
  RunConfig& config = named.config;
  if (!config.model) {
    const auto& source = config.init.checkpoint ? config.init.checkpoint : config.teacher.checkpoint;
    const std::filesystem::path run = *source;
    const auto folder = path.parent_path().parent_path() / run.parent_path().filename();
    config.model = read(folder / concat(run.filename().string(), ".yaml")).model;
    if (config.model) config.model->dropout = 0;  // as in TrainingRun
  }
  named.image = image_of(config.data, path.string(), classes);
  return named;
}

}  // namespace cm
