// The labels of a data set in the format of EDM and StyleGAN (dataset.json).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "file_tree.h"

namespace cm {

inline constexpr const char* kLabelFile = "dataset.json";

// {"labels": [["00000/img00000000.png", 3], …]} gives each image its class; {"labels": null} says that there
// are none. The classes of `images`, or nothing. An image without a class, a class of no image or two of
// one, and what is no class, are mistakes; InputError, with `where` in front, for any other file.
std::vector<int64_t> labels_in_json(const std::string& text, const std::string& where,
                                    const std::vector<FileTree::File>& images, FileMistakes& mistakes);

struct LabelledFile {
  std::string name;
  int64_t label = 0;
};

// Such a text, with null for `labels` where the data has none.
std::string json_of_labels(const std::vector<LabelledFile>& files, bool has_classes);

}  // namespace cm
