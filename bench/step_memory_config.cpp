#include "step_memory_config.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/yaml/reader.h"

namespace cm {
namespace {

RunConfig read(const std::filesystem::path& path, const std::vector<std::string>& overrides = {}) {
  return read_config<RunConfig>(load_yaml(path.string()), overrides);
}

ImageSpec image_of(const DataOptions& data, const std::string& path, int64_t classes) {
  const auto shape = shape_of(data);
  if (!shape) {
    throw InputError(concat(path, ": without data.image_size, data.kind ", data.kind.name,
                            " does not tell the images' size"));
  }
  return {
      .channels = shape->channels, .size = shape->image_size, .classes = shape->classes.value_or(classes)};
}

}  // namespace

NamedConfig read_named_config(const std::filesystem::path& path, int64_t classes,
                              const std::vector<std::string>& overrides) {
  NamedConfig named;
  named.name = (path.parent_path().filename() / path.stem()).string();
  for (const std::string& one : overrides) named.name += " " + one;
  named.config = read(path, overrides);
  RunConfig& config = named.config;
  if (!config.model) {
    const auto& source = config.init.checkpoint ? config.init.checkpoint : config.teacher.checkpoint;
    const std::filesystem::path run = *source;
    const auto folder = path.parent_path().parent_path() / run.parent_path().filename();
    config.model = read(folder / concat(run.filename().string(), ".yaml")).model;
    if (config.model) common_options(*config.model).dropout = 0;  // as in TrainingRun
  }
  named.image = image_of(config.data, path.string(), classes);
  return named;
}

}  // namespace cm
