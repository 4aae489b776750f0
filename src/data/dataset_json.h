// The labels of a data set in the format of EDM and StyleGAN (dataset.json).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/data/latent_space.h"
#include "cm/io/json.h"
#include "file_tree.h"

namespace cm {

inline constexpr const char* kLabelFile = "dataset.json";

// {"labels": [["00000/img00000000.png", 3], …]} gives each image its class; {"labels": null} says that there
// are none. The classes of `images`, or nothing. An image without a class, a class of no image or two of
// one, and what is no class, are mistakes; InputError, with `where` in front, for any other value
// (parse_json).
std::vector<int64_t> labels_in_json(const Json& root, const std::string& where,
                                    const std::vector<FileTree::File>& images, FileMistakes& mistakes);

struct LabelledFile {
  std::string name;
  int64_t label = 0;
};

// The text of such a value, with null for `labels` where the data has none, and with the origin of latents.
std::string json_of_labels(const std::vector<LabelledFile>& files, bool has_classes,
                           const std::optional<LatentOrigin>& latents = std::nullopt);

// The origin in such a value, which EDM2's has not. InputError, with `where` in front, when it is damaged.
std::optional<LatentOrigin> latent_origin_in_json(const Json& root, const std::string& where);

}  // namespace cm
