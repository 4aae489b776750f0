#include "dataset_json.h"

#include <unordered_map>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/dataset.h"
#include "cm/io/json.h"

namespace cm {
namespace {

constexpr const char* kOriginKey = "latents";

bool is_class(const Json& value) {
  return value.is_number_integer() && value >= 0 && value < kMaxClasses;
}

// As in the file; the beginning of what is long.
std::string shown(const Json& value) {
  constexpr size_t kLongest = 60;
  const std::string text = json_text(value);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "…";
}

const Json& list_in(const Json& root, const std::string& where) {
  const bool has_labels = root.is_object() && root.contains("labels");
  if (has_labels && (root["labels"].is_null() || root["labels"].is_array())) return root["labels"];
  throw InputError(concat(where, ": ", root.is_discarded() ? "is no JSON" : "has no list \"labels\"",
                          "; expected {\"labels\": [[\"00000/img00000000.png\", 3], …]} or {\"labels\": "
                          "null}; correct or remove it"));
}

// The class of each file that is named.
std::unordered_map<std::string, int64_t> classes_in(const Json& list, const std::string& where,
                                                    FileMistakes& mistakes) {
  std::unordered_map<std::string, int64_t> classes;
  for (const Json& pair : list) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string()) {
      mistakes.add(concat(where, ": has the label ", shown(pair), ", expected a pair [file, class]"));
      continue;
    }
    const auto& name = pair[0].get_ref<const std::string&>();
    if (!is_class(pair[1])) {
      mistakes.add(concat(where, ": gives ", name, " the label ", shown(pair[1]),
                          ", expected a class, an integer from 0 to ", kMaxClasses - 1,
                          " (conditioning vectors are not supported); correct it, or set data.labels=false"));
      continue;
    }
    if (!classes.emplace(name, pair[1].get<int64_t>()).second) {
      mistakes.add(concat(where, ": gives ", name, " two labels; remove one"));
    }
  }
  return classes;
}

}  // namespace

std::vector<int64_t> labels_in_json(const Json& root, const std::string& where,
                                    const std::vector<FileTree::File>& images, FileMistakes& mistakes) {
  const Json& list = list_in(root, where);
  if (list.is_null()) return {};
  auto classes = classes_in(list, where, mistakes);
  if (mistakes.any()) return {};
  std::vector<int64_t> labels;
  for (const auto& image : images) {
    const auto found = classes.find(image.name);
    if (found == classes.end()) {
      mistakes.add(concat(where, ": gives ", image.name, " no label; add one, or set data.labels=false"));
      continue;
    }
    labels.push_back(found->second);
    classes.erase(found);
  }
  for (const auto& [name, label] : classes) {
    mistakes.add(concat(where, ": labels ", name, ", which is not there; restore it, or remove its label"));
  }
  return labels;
}

std::string json_of_labels(const std::vector<LabelledFile>& files, bool has_classes,
                           const std::optional<LatentOrigin>& latents) {
  Json labels;
  if (has_classes) {
    for (const LabelledFile& file : files) labels.push_back({file.name, file.label});
  }
  Json root = {{"labels", labels}};
  if (latents) root[kOriginKey] = json_of(*latents);
  return json_text(root);
}

std::optional<LatentOrigin> latent_origin_in_json(const Json& root, const std::string& where) {
  if (!root.is_object() || !root.contains(kOriginKey)) return std::nullopt;
  LatentOrigin origin;
  set_from_json(root.at(kOriginKey), concat(where, ": ", kOriginKey), origin);
  return origin;
}

}  // namespace cm
